"""Groups of repeats: which runs belong together, their statistics, and Welch's test."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy import stats

from workbench.config.experiment import build_experiment
from workbench.runs.flat_settings import flat_settings
from workbench.runs.groups import compare_groups, group_runs, out_of_fold, statistics_of, welch_test
from workbench.runs.status import Status
from workbench.runs.store import RunSummary

VALUES = st.lists(st.floats(-1e3, 1e3).map(lambda value: round(value, 3)), min_size=2, max_size=12)


def row(number: int, accuracy: float, *sets: str, group: str = "") -> RunSummary:
    """A finished training of the digits."""
    experiment = build_experiment("digits-mlp", sets=sets)
    return RunSummary(
        id=f"20261130-04000{number}", name=experiment.name, status=Status.FINISHED, dataset="digits", model="mlp",
        test={"accuracy": accuracy}, monitor="accuracy", best=accuracy, group=group,
        settings=flat_settings(experiment),
    )  # fmt: skip


@given(values=VALUES)
def test_mean_deviation_and_interval_equal_scipys(values: list[float]) -> None:
    assume(len(set(values)) > 1)
    ours = statistics_of(values)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert ours.mean == pytest.approx(sum(values) / len(values), abs=1e-9)
    assert ours.sd == pytest.approx(stats.tstd(values), rel=1e-9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-7, abs=1e-7)


@given(first=VALUES, second=VALUES)
def test_welch_test_equals_scipys(first: list[float], second: list[float]) -> None:
    assume(len(set(first)) > 1 and len(set(second)) > 1)
    ours = welch_test("loss", ("a", statistics_of(first)), ("b", statistics_of(second)))
    theirs = stats.ttest_ind(second, first, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert (ours.t, ours.df, ours.p) == pytest.approx((theirs.statistic, theirs.df, theirs.pvalue), rel=1e-7)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), rel=1e-7, abs=1e-7)


def test_conclusions_claim_no_more_than_the_numbers_of_runs_allow() -> None:
    def conclusion(first: list[float], second: list[float]) -> str:
        return welch_test(
            "test.accuracy", ("a", statistics_of(first)), ("b", statistics_of(second))
        ).conclusion

    assert conclusion([0.9], [0.95]) == (
        "test.accuracy differs by +0.05, but 1 run in a group is too few for a conclusion"
    )
    assert "2 runs in a group are too few" in conclusion([0.9, 0.91], [0.95, 0.96, 0.97])
    assert conclusion([0.9, 0.9, 0.9], [0.9, 0.9, 0.9]).endswith("so there is no test")
    assert conclusion([0.90, 0.92, 0.94], [0.91, 0.93, 0.94]).startswith(
        "no difference in test.accuracy is shown"
    )
    assert conclusion([0.90, 0.901, 0.902], [0.95, 0.951, 0.952]).startswith(
        "test.accuracy differs by +0.05 (95 %"
    )


def test_runs_that_differ_only_in_their_seed_are_a_group() -> None:
    rows = [row(n, 0.9 + n / 100, f"seed={n}") for n in range(3)]
    rows += [row(n, 0.8, f"seed={n}", "train.lr=0.1") for n in range(3, 5)]
    assert [[one.id[-1] for one in group] for group in group_runs(rows)] == [["3", "4"], ["0", "1", "2"]]
    comparison = compare_groups(rows)
    slow, fast = comparison.groups
    assert (slow.settings, fast.settings) == ({"train.lr": 0.1}, {"train.lr": 0.001})
    assert [group.name for group in comparison.groups] == ["digits-mlp lr=0.1", "digits-mlp lr=0.001"]
    assert fast.metrics["test.accuracy"].values == (0.9, 0.91, 0.92)
    assert {one.metric for one in comparison.differences} == {"test.accuracy", "validation.accuracy"}


def test_a_named_group_is_one_of_repeats_for_each_of_its_settings() -> None:
    rows = [
        row(1, 0.9, "train.lr=0.1", group="grid"),
        row(2, 0.8, "train.lr=0.2", group="grid"),
        row(3, 0.8, "train.lr=0.2", "seed=1", group="grid"),
        row(4, 0.7),
    ]
    groups = compare_groups(rows).groups
    assert [(group.name, group.n) for group in groups] == [
        ("digits-mlp", 1), ("grid lr=0.2", 2), ("grid lr=0.1", 1)
    ]  # fmt: skip
    assert groups[1].settings == {"train.lr": 0.2}


def test_scripts_of_a_named_group_may_vary_in_their_settings() -> None:
    rows = [
        replace(row(n, 0.9, group="grid"), settings={"lr": n}, command="python train.py") for n in range(2)
    ]
    (group,) = compare_groups([*rows]).groups
    assert (group.name, group.n) == ("grid", 2)


def test_a_script_without_known_settings_is_not_grouped() -> None:
    rows = [replace(row(n, 0.9), settings={}, command="python train.py") for n in range(2)]
    assert [len(group) for group in group_runs(rows)] == [1, 1]


def folds(*accuracies: float, seed: int = 0, first: int = 1, count: int = 0) -> list[RunSummary]:
    """The runs of a cross-validation, of which fold N has tested 10 · N samples."""
    return [
        replace(
            row(number, accuracy, f"seed={seed}", f"train.folds={count or len(accuracies)}", f"train.fold={number}"),
            test_count=10 * number, id=f"{seed}-{number}",
        )
        for number, accuracy in enumerate(accuracies, first)
    ]  # fmt: skip


def test_folds_are_one_group_with_the_accuracy_over_all_samples() -> None:
    (group,) = compare_groups(folds(0.5, 0.8)).groups
    assert (group.n, group.metrics["test.accuracy"].mean) == (2, pytest.approx(0.65))
    assert group.metrics["out_of_fold.accuracy"].values == pytest.approx((0.7,))
    repeated = compare_groups([*folds(0.5, 0.8), *folds(0.6, 0.9, seed=1)])
    assert repeated.groups[0].metrics["out_of_fold.accuracy"].values == pytest.approx((0.7, 0.8))


def test_without_all_folds_there_is_no_accuracy_over_all_samples() -> None:
    complete = folds(0.5, 0.8, 0.9)
    unfinished = [*complete[:2], replace(complete[2], test=None)]
    for rows in (complete[:2], unfinished, [*complete, replace(complete[0], id="again")]):
        assert "out_of_fold.accuracy" not in compare_groups(rows).groups[0].metrics
    assert out_of_fold([row(1, 0.5)]) == {}
