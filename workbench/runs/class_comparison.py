"""Comparison of runs class by class: each run's metric of a class, and its difference to that of the first run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from workbench.core.text import format_difference, format_fraction
from workbench.runs.metrics import CLASS_METRICS, ClassMetric, ClassMetrics, EvaluationFile, EvaluationRow
from workbench.runs.reader import RunView
from workbench.runs.run_report import newest_evaluation, read_evaluation

METRIC_TITLES: dict[ClassMetric, str] = {"accuracy": "accuracy", "f1": "F1", "precision": "precision"}


class ClassValue(msgspec.Struct, frozen=True):
    """A metric of a class in one run."""

    value: float | None
    """`None` where it is undefined or not measured."""
    difference: float | None
    """To the first run; `None` for that run, and where either value is missing."""

    @property
    def text(self) -> str:
        """`.913` of the first run, `.933  +.020` of another."""
        difference = "" if self.difference is None else f"  {format_difference(self.difference)}"
        return format_fraction(self.value) + difference


class ComparedClass(msgspec.Struct, frozen=True):
    """A metric of one class in all runs of a comparison."""

    name: str
    values: tuple[ClassValue, ...]
    """In the order of the runs."""

    @property
    def largest_difference(self) -> float:
        """The largest difference to the first run, without its sign; 0 without one."""
        return max((abs(one.difference) for one in self.values if one.difference is not None), default=0.0)


class ClassComparison(msgspec.Struct, frozen=True):
    """The classes of several runs on one split."""

    split: str
    """Empty without a split on which at least two of the runs were evaluated."""
    evaluations: tuple[EvaluationFile | None, ...]
    """Of each run."""

    def classes(self, metric: ClassMetric = "accuracy") -> list[ComparedClass]:
        """All classes, those with the largest differences first; of equal ones in their order in the dataset."""
        values = [_by_class(one, metric) for one in self.evaluations]
        names = list(dict.fromkeys(name for one in self.evaluations if one for name in _names(one)))
        compared = [
            ComparedClass(
                name,
                tuple(_class_value(one.get(name), values[0].get(name), is_first=one is values[0]) for one in values),
            )
            for name in names
        ]  # fmt: skip
        return sorted(compared, key=lambda one: -one.largest_difference)

    def to_json(self, run: int) -> list[dict[str, str | float | None]] | None:
        """The classes of one run with its differences to the first, in their order in the dataset."""
        evaluation = self.evaluations[run]
        if evaluation is None:
            return None
        by_metric = {metric: {one.name: one for one in self.classes(metric)} for metric in CLASS_METRICS}
        return [
            {
                "class": row.name,
                "support": row.support,
                **{metric: by_metric[metric][row.name].values[run].value for metric in CLASS_METRICS},
                **{
                    f"{metric}_difference": by_metric[metric][row.name].values[run].difference
                    for metric in CLASS_METRICS
                },
            }
            for row in evaluation.per_class
        ]


def compare_classes(views: Sequence[RunView]) -> ClassComparison:
    """The results of the runs class by class, on the split on which most of them were evaluated."""
    splits = dict.fromkeys(
        row.split
        for row in [*(newest_evaluation(view) for view in views), *(row for view in views for row in view.evaluations)]
        if row is not None
    )  # fmt: skip
    found = [ClassComparison(split, tuple(_evaluation(view, split) for view in views)) for split in splits]
    counts = [sum(evaluation is not None for evaluation in one.evaluations) for one in found]
    most = max(counts, default=0)
    return found[counts.index(most)] if most > 1 else ClassComparison("", (None,) * len(views))


def _evaluation(view: RunView, split: str) -> EvaluationFile | None:
    """The newest evaluation on a split, the result if it is on that one; only with its classes."""
    rows: list[EvaluationRow] = [row for row in view.evaluations if row.split == split]
    newest = newest_evaluation(view)
    if newest is not None and newest.split == split:
        rows.append(newest)
    evaluation = read_evaluation(view.folder, rows[-1]) if rows else None
    return evaluation if evaluation is not None and evaluation.per_class else None


def _names(evaluation: EvaluationFile) -> list[str]:
    return [row.name for row in evaluation.per_class]


def _by_class(evaluation: EvaluationFile | None, metric: ClassMetric) -> dict[str, float]:
    rows = evaluation.per_class if evaluation else ()
    return {row.name: value for row in rows if (value := _value(row, metric)) is not None}


def _value(row: ClassMetrics, metric: ClassMetric) -> float | None:
    value = row.recall if metric == "accuracy" and row.accuracy is None else getattr(row, metric)
    return value if value is not None and math.isfinite(value) else None


def _class_value(value: float | None, first: float | None, *, is_first: bool) -> ClassValue:
    if value is None or first is None or is_first:
        return ClassValue(value, None)
    return ClassValue(value, value - first)
