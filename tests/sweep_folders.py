"""The folder of a sweep for tests that need no worker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workbench.io.record_codec import write_record
from workbench.sweeps.records import SweepDefinition, SweepSummary, TrialState, TrialSummary
from workbench.sweeps.sweep_folder import SweepFolder

TRIALS, FAILED, OPEN = 15, 5, (13, 14)
"""The number of trials that were started; of them one has failed, and two have not ended."""
SHARES = {"train.lr": 0.7123, "model.dropout": 0.2034, "train.optimizer": 0.0843}


def write_sweep(
    home: Path, runs: Sequence[str], name: str = "digits-mlp-sweep", *, trials: int = 20, created: float = 1.0
) -> SweepFolder:
    """A sweep as its workers record it, of which at most 13 trials have ended; `runs` are theirs, by turns."""
    folder = SweepFolder(home / "sweeps" / name)
    folder.path.mkdir(parents=True)
    write_record(
        folder.definition,
        SweepDefinition(
            name=name, content={"recipe": "digits-mlp"}, trials=trials, workers=2, created=created,
            params=(("train.lr", "log:1e-4:1e-1"), ("model.dropout", "0.0..0.5"), ("train.optimizer", "adam,sgd")),
        ),
    )  # fmt: skip
    made = [_trial(number, runs[number % len(runs)]) for number in range(min(trials, TRIALS))]
    finished = [trial for trial in made if trial.state is TrialState.FINISHED]
    best = max(finished, key=lambda trial: trial.value or 0.0)
    write_record(folder.summary, SweepSummary(trials=tuple(made), best=best.number, importances=SHARES))
    return folder


def _trial(number: int, run: str) -> TrialSummary:
    """A trial: best near a learning rate of 0.01; every fourth is pruned."""
    place = (number * 7 % TRIALS) / (TRIALS - 1)
    state = TrialState.PRUNED if number % 4 == 3 else TrialState.FINISHED
    state = TrialState.RUNNING if number in OPEN else TrialState.FAILED if number == FAILED else state
    value = round(0.97 - abs(place - 0.66) * (0.4 if state is TrialState.FINISHED else 0.7), 4)
    optimizer = "adam" if number % 2 else "sgd"
    return TrialSummary(
        number=number, run=run, state=state, value=None if number in {FAILED, OPEN[-1]} else value, epoch=4,
        params={"train.lr": 1e-4 * 1000**place, "model.dropout": number * 4 % 15 / 30, "train.optimizer": optimizer},
    )  # fmt: skip
