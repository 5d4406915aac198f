"""Every figure of a run says its split, and the test result comes first, in the list as in the report."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.golden.screens import STORED_HOME
from workbench.runs.reader import RunReader
from workbench.runs.records import Latest
from workbench.runs.run_report import read_report, view_scores
from workbench.runs.scores import (
    Score,
    latest_test_score,
    logged_score,
    metric_label,
    order_scores,
    score_key,
    scores_text,
)
from workbench.runs.scores import (
    test_score as score_of_test,
)
from workbench.runs.store import Store


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (Score("validation", "accuracy", 0.482, 12), "val .482@12"), (Score("test", "accuracy", 0.312), "test .312"),
        (Score("test", "loss", 2.314), "test loss 2.31"), (Score("test", "loss", 3e-6), "test loss 3e-6"),
        (Score("validation", "macro_f1", 0.5, 3), "val macro-F1 .500@3"), (Score("test", "accuracy", 0.0), "test .000"),
    ],
)  # fmt: skip
def test_a_figure_has_its_split_and_a_metric_that_is_not_the_accuracy(score: Score, text: str) -> None:
    assert score.text == text
    assert score.text.startswith(metric_label(score.split, score.metric))


def test_the_test_result_comes_first() -> None:
    test = score_of_test({"loss": 1.9, "accuracy": 0.312}, "accuracy")
    best = Score("validation", "accuracy", 0.482, 12)
    assert scores_text(order_scores(test, best)) == "test .312  best val .482@12"
    assert scores_text(order_scores(None, best), best="") == "val .482@12"
    assert order_scores(None, None, latest_test_score(Latest(loss=0.5)))[0].text == "test loss .500"
    assert latest_test_score(Latest(loss=0.5, accuracy=0.25)) == Score("test", "accuracy", 0.25)
    assert (
        order_scores(None, None) == ()
        and score_of_test(None, "loss") is None
        and latest_test_score(None) is None
    )
    assert score_of_test({"loss": 1.9, "accuracy": 0.3, "macro_f1": 0.2}, "macro_f1") == Score(
        "test", "macro_f1", 0.2
    )
    assert score_of_test({"loss": 0.1, "mse": 0.1}, "accuracy") == Score("test", "loss", 0.1)


def test_losses_are_sorted_after_accuracies_and_lower_ones_first() -> None:
    low, high, share = Score("test", "loss", 0.1), Score("test", "loss", 0.9), Score("test", "accuracy", 0.05)
    unknown = Score("test", "accuracy", float("nan"))
    worse_than_the_mean = Score("test", "r2", -3.0)
    scores = [None, high, worse_than_the_mean, unknown, low, share]
    assert sorted(scores, key=score_key, reverse=True) == [
        share,
        worse_than_the_mean,
        low,
        high,
        None,
        unknown,
    ]


def test_the_list_has_the_figures_of_the_reports(home: Path) -> None:
    shutil.copytree(STORED_HOME / "runs", home / "runs", dirs_exist_ok=True)
    rows = {row.name: row for row in Store.default().list_runs()}
    for row in rows.values():
        folder = Store.default().folder(row.id)
        assert row.test == read_report(folder).test
        reader = RunReader(folder)
        assert row.scores == view_scores(reader.read_all())
        reader.close()
    assert scores_text(rows["stored-digits"].scores) == "test .905  best val .965@4"
    assert scores_text(rows["stored-stopped"].scores) == "best val .965@3", "it has no result"
    assert scores_text(rows["stored-line"].scores) == "test loss .105", "it has no validation data"
    assert Store.default().list_runs() == list(rows.values()), "also from the index"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"val/accuracy": 0.5, "loss": 2.0}, "val .500"),
        ({"eval_acc": 0.5}, "val .500"),
        ({"train/loss": 2.5, "lr": 0.1}, "train loss 2.50"),
        ({"my_accuracy": 0.25}, "my_accuracy .250"),
        ({"lr": 0.1, "Loss": 2.5, "ACC": 0.25}, "ACC .250"),
        ({"lr": 0.1, "Loss": 2.5}, "Loss 2.50"),
        ({"Val/acc": 0.5}, "val .500"),
        ({"valid_acc": 0.5}, "val .500"),
        ({"validation/acc": 0.5}, "val .500"),
        ({"test_acc": 0.5}, "test .500"),
        ({"test/balanced_accuracy": 0.5}, "test balanced .500"),
        ({"eval_macro_f1": 0.5}, "val macro-F1 .500"),
        ({"reward": 0.125}, "reward .125"),
    ],
)
def test_the_score_of_a_script_is_an_accuracy_else_a_loss_else_its_first_value(
    values: dict[str, float], text: str
) -> None:
    score = logged_score(values)
    assert score is not None
    assert score.text == text


def test_a_script_without_values_has_no_score() -> None:
    assert logged_score({}) is None
