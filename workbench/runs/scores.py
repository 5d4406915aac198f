"""The figures that stand for a run: its test result and its best epoch, each with its split and its metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from workbench.core.text import format_compact, format_fraction
from workbench.runs.metric_direction import lower_is_better, ranking_key
from workbench.runs.records import Latest

METRIC_LABELS = {"accuracy": "", "balanced_accuracy": "balanced", "macro_f1": "macro-F1"}
"""How metrics are named beside a split; an accuracy is the usual one and needs no name, others keep their own."""
_SPLIT_LABELS = {"validation": "val"}
_LOGGED_SPLITS = {
    "train": "train", "val": "validation", "valid": "validation", "validation": "validation", "eval": "validation",
    "test": "test",
}  # fmt: skip
_LOGGED_METRICS = {"acc": "accuracy"}
"""How scripts abbreviate splits and metrics."""
_RESULT_METRICS = ("accuracy", "loss")
"""The metrics that stand for a test result, where it does not have the monitored one."""


class Score(msgspec.Struct, frozen=True):
    """A metric on a split: it is never shown without both."""

    split: str
    """Empty for what a script has logged under a name of its own."""
    metric: str
    value: float
    epoch: int | None = None
    """The epoch whose weights were evaluated, where that is worth showing."""

    @property
    def label(self) -> str:
        """`test`, `val`, `val loss`."""
        return metric_label(self.split, self.metric)

    @property
    def figure(self) -> str:
        """The value alone: `.913`, `2.31`."""
        return format_compact(self.value) if lower_is_better(self.metric) else format_fraction(self.value)

    @property
    def text(self) -> str:
        """`test .904`, `val .913@12`, `val loss .31@4`."""
        return self.text_without_epoch + ("" if self.epoch is None else f"@{self.epoch}")

    @property
    def text_without_epoch(self) -> str:
        """`test .904`, `val loss .31`."""
        return f"{self.label} {self.figure}"

    @property
    def unlabeled_split(self) -> str:
        """The figure for a column that names the split: `.913`, `loss .31`."""
        name = METRIC_LABELS.get(self.metric, self.metric)
        return f"{name} {self.figure}".lstrip()


def split_label(split: str) -> str:
    """`val` for `validation`; other splits (`train`, `test`) keep their name."""
    return _SPLIT_LABELS.get(split, split)


def metric_label(split: str, metric: str) -> str:
    """`val` for an accuracy on validation data, `test loss` for a loss on test data, a script's own name."""
    if not split:
        return metric
    return f"{split_label(split)} {METRIC_LABELS.get(metric, metric)}".rstrip()


def test_score(test: Mapping[str, float | None] | None, monitor: str) -> Score | None:
    """The metric of a test result that stands for it: the monitored one, else the accuracy, else the loss."""
    for name in (monitor, *_RESULT_METRICS):
        if test and (value := test.get(name)) is not None:
            return Score("test", name, value)
    return None


def latest_test_score(latest: Latest | None) -> Score | None:
    """The newest test figure of a run without validation data."""
    return None if latest is None else test_score({"accuracy": latest.accuracy, "loss": latest.loss}, "")


def logged_score(values: Mapping[str, float]) -> Score | None:
    """The newest value that stands for a script: of an accuracy, else of a loss, else of the first name."""
    named = [next((name for name in values if word in name.lower()), None) for word in ("acc", "loss", "")]
    name = next((name for name in named if name is not None), None)
    return None if name is None else _named_score(name, values[name])


def _named_score(name: str, value: float) -> Score:
    """A value under a script's own name; `val/acc` and `eval_accuracy` are an accuracy on validation data."""
    path = name if "/" in name else name.replace("_", "/", 1)
    prefix, _, metric = path.rpartition("/")
    split = _LOGGED_SPLITS.get(prefix.lower(), "")
    return Score(split, _LOGGED_METRICS.get(metric, metric), value) if split else Score("", name, value)


def order_scores(test: Score | None, best: Score | None, latest: Score | None = None) -> tuple[Score, ...]:
    """The test result first, then the best epoch; a run with neither has the newest figure (`latest`)."""
    known = tuple(score for score in (test, best) if score is not None)
    return known or ((latest,) if latest is not None else ())


def scores_text(scores: Sequence[Score], *, best: str = "best ") -> str:
    """`test .904  best val .913@12`; `best` stands before what was selected by its value."""
    return "  ".join(f"{best if score.epoch is not None else ''}{score.text}" for score in scores)


def score_key(score: Score | None) -> tuple[int, float]:
    """A sort key: larger is better. Losses come after figures of which more is better, a missing one comes last."""
    if score is None or math.isnan(score.value):
        return -2, 0.0
    return (-1 if lower_is_better(score.metric) else 0), ranking_key(score.metric, score.value)
