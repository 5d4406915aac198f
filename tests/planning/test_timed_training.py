"""What a plan measures with: the worker's loop for a while, its parts apart."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.support import make_run, open_attempt, same
from workbench.core.errors import RunFailed
from workbench.planning.timed_training import Pace, Trial
from workbench.planning.worker import Planner, changes, first
from workbench.runs.run_folder import RunFolder
from workbench.worker.checkpoints import Checkpoints
from workbench.worker.components import Parts
from workbench.worker.context import context_of
from workbench.worker.resume import Beginning


class Bench:
    """Parts of a run in this process."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.folder: RunFolder = make_run(home, settings)
        open_attempt(self.folder)
        self.context = context_of(self.folder, 1, 0.0)
        self.journal = self.context.journal
        self.parts = Parts(self.context, Beginning(self.context, Checkpoints(self.folder)))
        self.trials: list[Trial] = []

    def trial(self, **changes: Any) -> Trial:
        parts = self.parts.with_settings(**changes) if changes else self.parts
        self.trials.append(Trial(parts, self.folder, self.context.requests))
        return self.trials[-1]


@pytest.fixture
def bench(home: Path) -> Iterator[Any]:
    made: list[Bench] = []

    def make(**settings: Any) -> Bench:
        made.append(Bench(home, **settings))
        return made[-1]

    yield make
    for one in made:
        one.journal.close()
        for trial in one.trials:
            trial.close()


def test_steps_and_examples_are_counted_and_their_time_is_told_apart(bench: Any) -> None:
    trial = bench(batch_size=32).trial()
    before = [p.clone() for p in trial.state.module.parameters()]
    pace = trial.run(0.1, apart=True)
    short = 32 * pace.steps - pace.examples  # the last batch of an epoch has 14 examples
    assert pace.steps >= 1 and 0 <= short <= 18 * (pace.steps // trial.state.steps_per_epoch + 1)
    assert sum(pace.apart.values()) == pytest.approx(pace.seconds)
    assert not all(torch.equal(a, b) for a, b in zip(before, trial.state.module.parameters(), strict=True))


def test_other_settings_share_data_and_model(bench: Any) -> None:
    made = bench(batch_size=32)
    trial = made.trial(batch_size=128, threads=1)
    assert trial.state.module is made.parts.built.module
    assert made.parts.settings.batch_size == 32
    pace = trial.run(0.05)
    assert pace.examples > 64 * pace.steps


def test_a_frozen_epoch_is_tried_as_one(bench: Any) -> None:
    trial = bench(freeze_epochs=1, epochs=3).trial()
    trial.run(0.02, epoch=0)
    assert not all(p.requires_grad for p in trial.state.module.parameters())
    trial.run(0.02, epoch=2)
    assert all(p.requires_grad for p in trial.state.module.parameters())


def test_what_diverges_in_training_says_so_in_the_plan(bench: Any) -> None:
    trial = bench(lr=1000.0, optimizer="sgd", momentum=0.99).trial()
    with pytest.raises(RunFailed, match="loss became"):
        trial.run(3.0)


def test_threads_and_batches_are_tried_but_none_larger_than_the_data(bench: Any) -> None:
    keys = dict(changes(bench(batch_size=500).parts))
    assert keys["batch_size"] == 1000  # 1,294 are there: 2,000 are not
    assert keys["precision"] == "bf16"


def test_a_source_can_be_cut(bench: Any) -> None:
    source = bench().parts.sources["test"]
    assert len(first(source, 7)) == 7 and torch.equal(first(source, 7).inputs, source.inputs[:7])


def test_frozen_epochs_and_patience_count_in_the_plan(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench(freeze_epochs=2, epochs=5, patience=3)
    monkeypatch.setattr("workbench.planning.worker.BASE_SECONDS", 0.05)
    monkeypatch.setattr("workbench.planning.worker.ALL_TRIALS_SECONDS", -1.0)
    trial, paces = made.trial(), list[Pace]()
    run = trial.run
    monkeypatch.setattr(trial, "run", lambda *args, **kwargs: paces.append(run(*args, **kwargs)) or paces[-1])
    found = Planner(made.context, made.parts, trial, 1.5).plan()
    frozen, whole = (len(made.parts.sources["train"]) / pace.samples_per_second for pace in paces[:2])
    assert found.seconds["train"] == pytest.approx(2 * frozen + 3 * whole)
    assert found.seconds["load"] == 1.5
    assert found.tried == () and found.proposals == ()
    assert "3 epochs without a better one" in found.notices[0]


def weights_of(trial: Trial) -> Any:
    assert trial.state.lookahead is not None
    return trial.state.module.state_dict(), trial.state.lookahead.state_dict()


def test_what_one_trial_does_to_the_weights_is_put_back_for_the_next(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(batch_size=32, optimizer="sgd", lr=0.01, momentum=0.99, lookahead=2)
    monkeypatch.setattr("workbench.planning.worker.TRIAL_SECONDS", 0.05)
    trial = made.trial()
    planner = Planner(made.context, made.parts, trial, 0.0)
    trial.run(0.05)
    before = copy.deepcopy(weights_of(trial))
    planner._factor("lr", 1000.0)
    assert same(before, weights_of(trial))
    assert planner._factor("batch_size", 64) is not None


def test_a_batch_that_memory_has_no_room_for_is_tried_in_parts_where_the_run_would_be(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = bench(batch_size=64).trial()
    sizes, whole = list[int](), trial.state.module.forward

    def small_only(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        if len(x) > 32:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return whole(x)

    monkeypatch.setattr(trial.state.module, "forward", small_only)
    with pytest.raises(torch.OutOfMemoryError):
        trial.run(0.05)
    trial.recover = lambda _: monkeypatch.setattr(trial.state.module, "forward", whole)
    assert trial.run(0.05).steps > 0
