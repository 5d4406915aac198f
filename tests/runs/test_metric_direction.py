"""Whether lower or higher values of a metric are better, by its name."""

from __future__ import annotations

import math

import pytest

from workbench.runs.metric_direction import lower_is_better, named_direction, oriented_value, ranking_key
from workbench.runs.metrics import EvaluationRow

LOWER = {"loss", "mse", "mae"}


@pytest.mark.parametrize("metric", EvaluationRow.METRICS)
def test_losses_and_errors_are_better_lower(metric: str) -> None:
    sign = -1 if metric in LOWER else 1
    assert lower_is_better(metric) == (sign == -1)
    assert (oriented_value(metric, 0.25), ranking_key(metric, 0.25)) == (sign * 0.25, sign * 0.25)


@pytest.mark.parametrize(
    ("names", "lower"),
    [
        (["loss", "Val/Loss", "error_rate", "perplexity", "mse", "test/RMSE", "mae", "acc/a/mse"], True),
        (["val/Acc", "accuracy", "macro-F1", "AUC", "precision", "recall", "r2"], False),
        (["top5", "mAP50", "mIoU", "loss/acc"], False),
        (["lr", "epoch", "loss/lr", "accuracy/step", ""], None),
    ],
)  # fmt: skip
def test_the_words_of_a_name_show_its_direction(names: list[str], lower: bool | None) -> None:
    assert {name: named_direction(name) for name in names} == dict.fromkeys(names, lower)


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_missing_and_undefined_values_rank_last(metric: str) -> None:
    assert ranking_key(metric, None) == ranking_key(metric, math.nan) == -math.inf
