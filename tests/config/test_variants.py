"""Grids of settings and repeats with other seeds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from workbench.config.experiment import Experiment, build_experiment, check_run_name
from workbench.config.variants import make_variants, split_values
from workbench.core.errors import UserError


def build(sets: Sequence[str]) -> Experiment:
    return build_experiment("digits-mlp", sets=["seed=3", *sets])


def test_every_combination_is_repeated_with_the_next_seeds() -> None:
    made = make_variants(build, ["train.lr=0.1,0.03", "train.batch_size=16, 32"], repeat=2)
    found = [
        (variant.experiment.train.lr, variant.experiment.train.batch_size, variant.experiment.seed)
        for variant in made
    ]
    assert found == [
        (lr, size, seed) for lr in (0.1, 0.03) for size in (16, 32) for seed in (3, 4)
    ]  # fmt: skip
    assert made[1].changed == (("train.lr", "0.1"), ("train.batch_size", "16"), ("seed", "4"))
    assert made[1].experiment.name == "digits-mlp-lr0.1-batch_size16-seed4"


def test_without_a_grid_there_is_the_experiment_itself() -> None:
    (only,) = make_variants(build)
    assert only.experiment == build([]) and only.changed == ()


def test_values_with_commas_are_separated_by_bars() -> None:
    assert split_values("256,128 | 64") == ["256,128", "64"]
    made = make_variants(build, ["model.widths=256,128 | 64"])
    assert [variant.experiment.model.options["widths"] for variant in made] == [(256, 128), (64,)]
    assert [variant.experiment.name for variant in made] == [
        "digits-mlp-widths256-128",
        "digits-mlp-widths64",
    ]


def test_names_are_valid_and_short() -> None:
    for variant in make_variants(build, [f"on_finish={'echo ä ' * 40},true"]):
        assert check_run_name(variant.experiment.name)


def test_folds_are_a_run_each_unless_one_is_chosen() -> None:
    made = make_variants(build, ["train.lr=0.1,0.03", "train.folds=2,3"], repeat=2)
    assert len(made) == 2 * 2 * (2 + 3)
    assert [variant.experiment.train.fold for variant in made[:4]] == [1, 2, 1, 2]
    assert made[1].changed[-2:] == (("seed", "3"), ("train.fold", "2"))
    assert made[1].experiment.name == "digits-mlp-lr0.1-folds2-seed3-fold2"
    (only,) = make_variants(build, ["train.folds=5", "train.fold=4"])
    assert only.experiment.train.fold == 4
    with pytest.raises(UserError, match="1,200 runs, more than 1,000"):
        make_variants(build, ["train.folds=600", "train.lr=0.1,0.2"])


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["train.folds=1"], r"train\.folds can't be 1"),
        (["train.fold=2"], r"train\.fold=2 needs train\.folds"),
        (["train.folds=3", "train.fold=4"], "there are 3 folds"),
    ],
)
def test_folds_that_do_not_exist_are_refused(sets: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build(sets)


@pytest.mark.parametrize(
    ("grid", "repeat", "words"),
    [
        (["train.lr"], 1, "--grid expects KEY=V1,V2"),
        (["train.lr=0.1,,0.2"], 1, "empty value"),
        (["train.lr=0.1,0.1"], 1, "twice"),
        (["train.lr=0.1,0.2", "train.lr=0.3"], 1, "twice"),
        (["seed=1,2"], 2, "--repeat"),
        ([], 0, "at least 1"),
        (["train.lr=" + ",".join(map(str, range(1, 101)))], 11, "1,100 runs"),
        (["train.lr=0.1,fast"], 1, "train.lr"),
        (["train.speed=1,2"], 1, "train.speed"),
    ],
)
def test_a_wrong_grid_is_refused_before_anything_starts(grid: list[str], repeat: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        make_variants(build, grid, repeat)
