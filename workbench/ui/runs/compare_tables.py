"""The tables of a comparison: results and settings that differ, or the metrics of each class."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.core.distinct_names import shorten_distinct
from workbench.core.text import (
    class_text,
    format_setting,
    sanitize,
)
from workbench.runs.class_comparison import ClassComparison, ClassValue
from workbench.runs.comparison import ComparedRun, differing_keys, display_names
from workbench.runs.metrics import ClassMetric
from workbench.ui.base.status_style import MUTED
from workbench.ui.widgets.table import CellContent, Column, Row

COLUMN_WIDTH = 26
"""Cells of a run's column in the table of settings."""
CLASS_WIDTH, CLASS_COLUMN_WIDTH = 24, 13
"""Cells of the longest name of a class, and of a run's column beside it: `.933  +.020`."""
BETTER, WORSE = "$success", "$error"


def table_columns(runs: Sequence[ComparedRun]) -> list[Column]:
    """A column of labels and one per run; in a narrow table the first runs are kept."""
    keys = max((len(key) for key in differing_keys(runs)), default=8)
    names = shorten_distinct([sanitize(name) for name in display_names(runs)], COLUMN_WIDTH - 2)
    columns = [
        Column(str(number), f"{number + 1} {name}", COLUMN_WIDTH, priority=len(runs) - number, min_width=10)
        for number, name in enumerate(names)
    ]
    return [Column("key", "", min(24, keys), priority=100), *columns]


def table_rows(runs: Sequence[ComparedRun]) -> list[Row]:
    """A row for each result and for each setting that differs."""
    rows = []
    for key in differing_keys(runs):
        cells = {str(number): sanitize(format_setting(run.row.get(key))) for number, run in enumerate(runs)}
        rows.append(Row(key, {"key": key, **cells}))
    return rows


def class_columns(classes: ClassComparison, runs: Sequence[ComparedRun]) -> list[Column]:
    """A column of classes and one per run, as many runs as fit."""
    names = shorten_distinct([sanitize(name) for name in display_names(runs)], CLASS_COLUMN_WIDTH - 2)
    width = max((len(class_text(one.name)) for one in classes.classes()), default=5)
    columns = [
        Column(str(number), f"{number + 1} {name}", CLASS_COLUMN_WIDTH, priority=len(runs) - number)
        for number, name in enumerate(names)
    ]
    return [Column("class", "class", min(CLASS_WIDTH, max(5, width)), priority=100, min_width=8), *columns]


def class_rows(classes: ClassComparison, metric: ClassMetric) -> list[Row]:
    """A row for each class, the largest differences first."""
    return [
        Row(
            one.name,
            {
                "class": class_text(one.name),
                **{str(number): _class_cell(value) for number, value in enumerate(one.values)},
            },
        )
        for one in classes.classes(metric)
    ]


def _class_cell(value: ClassValue) -> CellContent:
    difference = value.difference or 0.0
    if value.value is None:
        return value.text, MUTED
    return (value.text, BETTER if difference > 0 else WORSE) if abs(difference) >= 0.0005 else value.text
