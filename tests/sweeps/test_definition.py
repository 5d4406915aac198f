"""What is refused before anything is started, and what a sweep is that was accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.cli.main import run
from workbench.config.experiment import experiment_content
from workbench.runs.store import Store
from workbench.sweeps.definition import SweepRequest, define_sweep, grid_points, trial_experiment
from workbench.sweeps.records import SamplerName, SweepDefinition
from workbench.sweeps.sweep_folder import SweepStore

BAD = [
    (["--trials", "3"], "at least one --param"),
    (["--param", "train.lr=log:1e-4:1e-1"], "--trials N"),
    (["--param", "train.lr=log:1e-4:1e-1", "--trials", "0"], "from 1 to"),
    (["--param", "train.lr=log:1e-4:1e-1", "--trials", "3", "--workers", "65"], "--workers must be"),
    (["--param", "train.lr=log:1e-4:1e-1", "--trials", "3", "--workers", "0"], "--workers must be"),
    (["--param", "train.lr=log:1e-4:1e-1", "--trials", "3", "--seed", "-1"], "--seed must be"),
    (["--param", "lr=log:1e-4:1e-1", "--trials", "3"], "did you mean 'train.lr'"),
    (["--param", "train.lr=-0.5..0.5", "--trials", "3"], "train.lr must be"),
    (["--param", "train.batch_size=0:8", "--trials", "3"], "train.batch_size must be"),
    (["--param", "train.batch_size=16.0..64.0", "--trials", "3"], "train.batch_size must be a whole number"),
    (["--param", "train.optimizer=adam,sdg", "--trials", "3"], "did you mean 'sgd'"),
    (["--param", "train.lr=0.1", "--trials", "3"], "nothing to search"),
    (["--param", "train.lr=log:1e-4:1e-1", "--param", "train.lr=1:2", "--trials", "3"], "is there twice"),
    (["--param", "train.device=cpu,cuda", "--trials", "3"], "changes nothing"),
    (["--param", "train.lr=log:1e-4:1e-1", "--sampler", "grid"], "a grid has single values"),
    (["--param", "train.lr=log:1e-4:1e-1", "--sampler", "cmaes", "--trials", "3"], "at least two settings"),
    (["--param", "train.lr=log:1e-4:1e-1", "--trials", "3", "--metric", "acuracy"], "did you mean"),
    (["--param", "train.lr=log:1e-4:1e-1", "--trials", "3", "--sampler", "grit"], "--sampler"),
    (["--param", "train.lr=log:1e-4:1e-1", "--trials", "x"], "not a whole number"),
    (["--param", "train.lr=log:1e-4:1e-1", "--trials", "3", "--name", "../x"], "invalid run name"),
    (
        ["--param", "train.lr=0.1,1", "--set", "train.folds=3", "--trials", "2"],
        "train.folds=3 is a run for each fold",
    ),
    (["more", "--param", "train.lr=1:2", "--trials", "3"], "unexpected 'more'"),
]


@pytest.mark.parametrize(("options", "expected"), BAD, ids=[expected for _, expected in BAD])
def test_bad_input_is_one_line_and_starts_nothing(
    options: list[str], expected: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sweep", "digits-mlp", *options]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and expected in errors[0]
    assert not Store.default().list_runs() and not SweepStore.default().list_sweeps()


def define(*params: str, sets: list[str] | None = None, **request: object) -> SweepDefinition:
    content = experiment_content("digits-mlp", sets=sets or [])
    options = {"trials": 5, **request}
    return define_sweep(SweepRequest(content=content, params=params, **options))  # type: ignore[arg-type]


def test_the_first_trial_has_the_experiments_own_values_where_they_are_in_the_spaces() -> None:
    sweep = define("train.lr=log:1e-4:1e-1", "train.batch_size=64:128", "train.augment=crop|rotate")
    assert sweep.baseline == {"train.lr": 0.001, "train.augment": "rotate"}
    assert define("train.lr=0.001,0.01", trials=None, sampler=SamplerName.GRID).baseline == {}


def test_folds_can_be_swept() -> None:
    sweep = define("train.fold=1,2,3", sets=["train.folds=3"], trials=None, sampler=SamplerName.GRID)
    folds = [trial_experiment(sweep.content, {"train.fold": fold}).train.fold for fold in (1, 2, 3)]
    assert (folds, sweep.trials) == ([1, 2, 3], 3)


def test_the_metric_and_its_direction_follow_the_experiment() -> None:
    space = "train.lr=log:1e-4:1e-1"
    assert (define(space).metric, define(space).minimize) == ("validation/accuracy", False)
    loss = define(space, sets=["train.monitor=loss"])
    assert (loss.metric, loss.minimize) == ("validation/loss", True)
    named = define(space, metric="train/loss")
    assert (named.metric, named.minimize) == ("train/loss", True)
    assert define(space, metric="macro_f1").metric == "validation/macro_f1"
    assert define(space, minimize=True).minimize


def test_a_grid_has_all_combinations() -> None:
    sweep = define("train.lr=0.1,0.01", "train.batch_size=16:18", trials=None, sampler=SamplerName.GRID)
    points = grid_points(sweep.spaces)
    assert sweep.trials == len(points) == 6
    assert points[:2] == [{"train.lr": "0.1", "train.batch_size": n} for n in (16, 17)]


def test_a_swept_model_keeps_its_own_defaults() -> None:
    """The training settings that belong to a model follow it: the experiment is stored before defaults."""
    content = experiment_content(dataset="digits", model="mlp")
    experiment = trial_experiment(content, {"model.name": "linear", "train.lr": 0.5}, 7)
    assert (experiment.model.name, experiment.train.lr) == ("linear", 0.5)
    assert experiment.name.endswith("-trial7")
