"""The study of a sweep, without runs: samplers, pruners, trials that were left, and damage of the journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from workbench.config.experiment import experiment_content
from workbench.sweeps.control import create_sweep
from workbench.sweeps.definition import SweepRequest, define_sweep
from workbench.sweeps.records import PrunerName, SamplerName, SweepDefinition, TrialState
from workbench.sweeps.space import ParamValue, Range
from workbench.sweeps.study import SweepStudy
from workbench.sweeps.sweep_folder import SweepFolder, SweepLock

SPACES = (
    "train.lr=log:1e-4:1e-1",
    "model.dropout=0.0..0.5",
    "train.batch_size=16:64",
    "train.optimizer=adam,sgd",
)
MakeStudy = Callable[..., tuple[SweepFolder, SweepDefinition]]


@pytest.fixture
def make(home: Path) -> MakeStudy:
    def make(*params: str, **request: object) -> tuple[SweepFolder, SweepDefinition]:
        content = experiment_content("digits-mlp")
        options = {"trials": 20, **request}
        asked = SweepRequest(content=content, params=params or SPACES, **options)  # type: ignore[arg-type]
        folder = create_sweep(define_sweep(asked), "sweep", exact=False)
        return folder, folder.read_definition()

    return make


def value_of(params: dict[str, ParamValue]) -> float:
    """Best at a learning rate of 0.01, whatever the others are."""
    return 1 - abs(Range(1e-4, 0.1, log=True).position(params["train.lr"]) - 0.66)


def run_all(folder: SweepFolder, definition: SweepDefinition, *, fresh: bool) -> list[dict[str, ParamValue]]:
    """Tell each trial its value at once; `fresh`: each by a worker that has just started."""
    lock = SweepLock(folder)
    study = SweepStudy(folder, definition, lock)
    asked = []
    while study.started() < definition.trials:
        study = SweepStudy(folder, definition, lock) if fresh else study
        trial = study.ask()
        asked.append(trial.params)
        trial.finish(value_of(trial.params))
    return asked


@pytest.mark.parametrize("sampler", [SamplerName.TPE, SamplerName.RANDOM, SamplerName.CMAES])
def test_trials_do_not_depend_on_the_worker_that_asks(sampler: SamplerName, make: MakeStudy) -> None:
    one = run_all(*make(sampler=sampler, seed=3), fresh=False)
    two = run_all(*make(sampler=sampler, seed=3), fresh=True)
    other = run_all(*make(sampler=sampler, seed=4), fresh=True)
    assert one == two != other
    assert one[0] == {
        "train.lr": 0.001,
        "model.dropout": 0.4,
        "train.batch_size": 32,
        "train.optimizer": "adam",
    }
    assert len({tuple(params.values()) for params in one}) == 20
    for key, space in make(sampler=sampler)[1].spaces.items():
        assert all(0 <= space.position(params[key]) <= 1 for params in one)


def test_the_setting_that_matters_is_found(make: MakeStudy) -> None:
    folder, definition = make(trials=30)
    run_all(folder, definition, fresh=False)
    summary = SweepStudy(folder, definition, SweepLock(folder)).summary()
    assert next(iter(summary.importances)) == "train.lr"
    assert sum(summary.importances.values()) == pytest.approx(1, abs=1e-3)
    best = summary.best_trial
    assert best and best.value == max(trial.value or 0 for trial in summary.trials)


@pytest.mark.parametrize("pruner", [PrunerName.MEDIAN, PrunerName.HYPERBAND, PrunerName.NONE])
def test_bad_trials_are_pruned_unless_nobody_shall(pruner: PrunerName, make: MakeStudy) -> None:
    folder, definition = make(pruner=pruner)
    study = SweepStudy(folder, definition, SweepLock(folder))
    pruned = 0
    for number in range(20):
        trial = study.ask()
        quality = 0.1 if number % 2 else 0.9
        ended = [at for epoch in range(1, 13) if (at := trial.report({epoch: quality})) is not None]
        if ended:
            assert quality == 0.1 and ended[0] >= 1
            trial.prune("worse")
            pruned += 1
        else:
            trial.finish(quality)
    assert (pruned > 0) == (pruner is not PrunerName.NONE)
    states = [trial.state for trial in study.summary().trials]
    assert states.count(TrialState.PRUNED) == pruned


def test_a_trial_that_was_left_while_its_settings_were_chosen_gets_all_of_them(make: MakeStudy) -> None:
    folder, definition = make()
    expected = run_all(*make(), fresh=False)
    lock = SweepLock(folder)
    study = SweepStudy(folder, definition, lock)
    study.ask().finish(value_of(expected[0]))
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder.journal)))
    optuna.load_study(study_name=None, storage=storage).ask()  # its worker is killed here
    assert study.open_trials() == [1]
    trial = SweepStudy(folder, definition, lock).take_over(1)
    assert (trial.number, trial.run, trial.params) == (1, "", expected[1])
    trial.set_run("the run")
    assert SweepStudy(folder, definition, lock).take_over(1).run == "the run"


def test_what_was_reported_before_is_not_reported_again(make: MakeStudy) -> None:
    folder, definition = make()
    study = SweepStudy(folder, definition, SweepLock(folder))
    study.ask().report({1: 0.5, 2: 0.6})
    again = study.take_over(0)
    again.report({1: 0.7, 2: 0.6, 3: 0.8})  # Optuna warns of a value that is there, and warnings are errors
    (trial,) = study.summary().trials
    assert (trial.value, trial.epoch, trial.state) == (0.8, 3, TrialState.RUNNING)


def test_a_killed_worker_leaves_no_lock_that_others_wait_for(make: MakeStudy) -> None:
    folder, definition = make()
    lock = SweepLock(folder)
    Path(f"{folder.journal}.lock").symlink_to(f"../{folder.name}/{folder.journal.name}")
    before = time.monotonic()
    SweepStudy(folder, definition, lock).ask()
    assert time.monotonic() - before < 10  # Optuna alone waits for 30 s


def test_a_torn_line_costs_only_itself(make: MakeStudy) -> None:
    folder, definition = make()
    study = SweepStudy(folder, definition, SweepLock(folder))
    study.ask().finish(0.5)
    with folder.journal.open("ab") as journal:
        journal.write(b'{"op_code":4,"worker_id":"a')
    study.ask().finish(0.6)
    trials = SweepStudy(folder, definition, SweepLock(folder)).summary().trials
    assert [trial.value for trial in trials] == [0.5, 0.6]


def test_a_name_is_taken_once(make: MakeStudy) -> None:
    assert [make()[0].name for _ in range(3)] == ["sweep", "sweep-2", "sweep-3"]
