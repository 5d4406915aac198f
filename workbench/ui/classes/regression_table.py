"""The errors of a regression run, shown in the classes pane instead of classes."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.config.experiment import Reference
from workbench.core.text import format_compact, sanitize
from workbench.runs.metrics import EvaluationRow
from workbench.ui.base.status_style import MUTED
from workbench.ui.widgets.table import Column, Row

COLUMNS = (
    Column("metric", "metric", 24, priority=9),
    Column("first", "first", 10, priority=5, align_right=True),
    Column("previous", "previous", 10, priority=3, align_right=True),
    Column("latest", "latest", 10, priority=8, align_right=True),
)
_ERRORS = {"mse": "mean squared error", "mae": "mean absolute error", "r2": "R² (1 is perfect)"}


def regression_rows(evaluations: Sequence[EvaluationRow], reference: Reference | None = None) -> list[Row]:
    """The errors of a regression at its first, previous and latest evaluation on the latest split.

    With the `reference` of a recipe also the metric that it publishes, with the published value in the label.
    """
    if not evaluations:
        return []
    same_split = [row for row in evaluations if row.split == evaluations[-1].split]
    previous = same_split[-2] if len(same_split) > 1 else None
    return [
        Row(
            key,
            {
                "metric": label,
                "first": format_compact(same_split[0].metric(key)),
                "previous": (format_compact(previous.metric(key) if previous else None), MUTED),
                "latest": (format_compact(same_split[-1].metric(key)), "bold"),
            },
        )
        for key, label in _labels(reference).items()
    ]


def _labels(reference: Reference | None) -> dict[str, str]:
    """The labels of the rows by metric key: the errors, and the published metric."""
    if reference is None:
        return _ERRORS
    key = reference.metric.rpartition(".")[2]
    label = _ERRORS.get(key, sanitize(key, 9))
    return {**_ERRORS, key: f"{label} (published {format_compact(reference.published)})"}
