"""What the classes pane shows of a run that learns numbers: its errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.runs.records import number
from workbench.text import safe
from workbench.ui.marks import MUTED
from workbench.ui.widgets.series import short
from workbench.ui.widgets.table import Column, Row

COLUMNS = (
    Column("what", "error", 24, keep=9),
    Column("first", "before", 10, keep=5, right=True),
    Column("previous", "the time before", 15, keep=3, right=True),
    Column("now", "now", 10, keep=8, right=True),
)
_ERRORS = {"mse": "mean squared error", "mae": "mean absolute error", "r2": "R² (1 is perfect)"}


def rows(evaluations: Sequence[Mapping[str, Any]], reference: Mapping[str, Any] | None = None) -> list[Row]:
    """The errors of a regression at its first evaluation, at the last but one, and now.

    With the `reference` of a recipe also what that is about (a figure of the model), the published one beside it.
    """
    if not evaluations:
        return []
    split = evaluations[-1].get("split")
    those = [row for row in evaluations if row.get("split") == split]
    previous = those[-2] if len(those) > 1 else {}
    return [
        Row(
            key,
            {
                "what": words,
                "first": short(number(those[0].get(key))),
                "previous": (short(number(previous.get(key))), MUTED),
                "now": (short(number(those[-1].get(key))), "bold"),
            },
        )
        for key, words in _told(reference or {}).items()
    ]


def _told(reference: Mapping[str, Any]) -> dict[str, str]:
    """The rows of a regression: its errors, and the figure that was published."""
    key = str(reference.get("metric") or "").rpartition(".")[2]
    if not key:
        return _ERRORS
    words = _ERRORS.get(key, safe(key, 9))
    return {**_ERRORS, key: f"{words} (published {short(number(reference.get('published')))})"}
