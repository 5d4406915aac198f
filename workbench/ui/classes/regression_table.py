"""What the classes pane shows of a run that learns numbers: its errors."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.config.experiment import Reference
from workbench.core.text import safe, short
from workbench.runs.metrics import EvaluationRow
from workbench.ui.base.status_style import MUTED
from workbench.ui.widgets.table import Column, Row

COLUMNS = (
    Column("what", "error", 24, keep=9),
    Column("first", "before", 10, keep=5, right=True),
    Column("previous", "the time before", 15, keep=3, right=True),
    Column("now", "now", 10, keep=8, right=True),
)
_ERRORS = {"mse": "mean squared error", "mae": "mean absolute error", "r2": "R² (1 is perfect)"}


def rows(evaluations: Sequence[EvaluationRow], reference: Reference | None = None) -> list[Row]:
    """The errors of a regression at its first evaluation, at the last but one, and now.

    With the `reference` of a recipe also what that is about (a figure of the model), the published one beside it.
    """
    if not evaluations:
        return []
    those = [row for row in evaluations if row.split == evaluations[-1].split]
    previous = those[-2] if len(those) > 1 else None
    return [
        Row(
            key,
            {
                "what": words,
                "first": short(those[0].metric(key)),
                "previous": (short(previous.metric(key) if previous else None), MUTED),
                "now": (short(those[-1].metric(key)), "bold"),
            },
        )
        for key, words in _labels(reference).items()
    ]


def _labels(reference: Reference | None) -> dict[str, str]:
    """The rows of a regression by the names of their metrics: its errors, and the metric that was published."""
    if reference is None:
        return _ERRORS
    key = reference.metric.rpartition(".")[2]
    words = _ERRORS.get(key, safe(key, 9))
    return {**_ERRORS, key: f"{words} (published {short(reference.published)})"}
