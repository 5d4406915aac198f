"""The confusion matrix as a grid of cells, and the most frequent confusions as table rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from workbench.core.text import cell_width, sanitize
from workbench.runs.confusions import confused_pairs
from workbench.runs.metrics import EvaluationFile
from workbench.ui.base.status_style import MUTED
from workbench.ui.classes.class_table import (
    BAR_WIDTH,
    MAX_NAME_WIDTH,
    MEDIUM,
    POOR,
    ClassRow,
    quality_style,
    share_bar,
)
from workbench.ui.widgets.cell_grid import Cell, Grid, to_cells
from workbench.ui.widgets.table import Cells, Column, Row

AXIS_LABELS = "true ↓ predicted →"
"""Rows are true classes, columns are predicted classes."""
_SHADES = "·░▒▓█"


def pair_columns(rows: Sequence[ClassRow]) -> list[Column]:
    """The columns of the table of confusions."""
    name = max(9, min(MAX_NAME_WIDTH, max((cell_width(row.display_name) for row in rows), default=0)))
    return [
        Column("true", "true", name, priority=9, min_width=8),
        Column("predicted", "predicted as", max(name, 12), priority=8, min_width=8),
        Column("count", "count", 6, priority=7, align_right=True),
        Column("bar", "", BAR_WIDTH, priority=3, min_width=5),
        Column("errors", "of errors", 10, priority=5, align_right=True),
        Column("class", "of class", 9, priority=4, align_right=True),
    ]


def pair_rows(evaluation: EvaluationFile | None, filter: str = "") -> list[Row]:
    """The confusions, most frequent first, with their share of all errors and of the samples of the true class.

    `filter`: only pairs in which either class name contains this casefolded text.
    """
    pairs = confused_pairs(evaluation)
    errors = sum(count for *_, count in pairs)
    largest = pairs[0][2] if pairs else 1
    support = {row.name: row.support for row in (evaluation.per_class if evaluation else ())}
    return [
        Row(
            f"{true}\0{predicted}",
            _pair_cells((true, predicted), count, errors, largest, support.get(true, 0)),
        )
        for true, predicted, count in pairs
        if filter in true.casefold() or filter in predicted.casefold()
    ]


def _pair_cells(pair: tuple[str, str], count: int, errors: int, largest: int, support: int) -> Cells:
    return {
        "true": sanitize(pair[0]),
        "predicted": sanitize(pair[1]),
        "count": (str(count), "bold"),
        "errors": f"{100 * count / errors:.0f}%",
        "bar": lambda width: (share_bar(count / largest, width), MEDIUM),
        "class": f"{100 * count / support:.0f}%" if support else "-",
    }


class MatrixGrid(NamedTuple):
    """A drawn confusion matrix."""

    grid: Grid
    note: str
    """For the pane's title."""
    classes: Sequence[ClassRow]
    """Those that have a row and a column."""


def confusion_grid(
    evaluation: EvaluationFile | None,
    classes: Sequence[ClassRow],
    width: int,
    height: int,
    cursor: tuple[int, int] | None = None,
) -> MatrixGrid:
    """The confusion matrix as a grid of `width` x `height` cells, with a cursor at (row, column).

    A row for each true class and a column for each predicted class, in the order of `classes`, as many as fit.
    Cells are counts if they fit, else shades of the fraction of the row. The axis labels are in the corner if
    that costs no column and no count, else in the note.
    """
    counts = {
        (true, predicted): count for true, predicted, count in (evaluation.confusion if evaluation else ())
    }
    digits = max((len(str(count)) for count in counts.values()), default=1) + 1
    layout = _fit_layout(classes, width, height, digits)
    visible = classes[: layout.columns]
    head = to_cells(AXIS_LABELS if layout.labeled_corner else "", MUTED, layout.name_width + 1)
    for row in visible:
        head += _column_label(row.display_name if layout.cell_width >= 5 else "", layout.cell_width)
    grid = [head]
    for y, true in enumerate(visible):
        line = [*to_cells(true.display_name, "", layout.name_width), (" ", "")]
        for x, predicted in enumerate(visible):
            count = counts.get((true.index, predicted.index), 0)
            cells = _matrix_cell(count, true, predicted, layout.cell_width, digits)
            line += [(text, f"{style} reverse") for text, style in cells] if (y, x) == cursor else cells
        grid.append(line)
    count_note = f"{len(visible)} of {len(classes)} classes" if len(classes) > len(visible) else ""
    notes = ("" if layout.labeled_corner else AXIS_LABELS, count_note)
    return MatrixGrid(grid, "──".join(filter(None, notes)), visible)


@dataclass(frozen=True)
class _Layout:
    """How many columns the matrix has, and widths in cells."""

    columns: int
    name_width: int
    cell_width: int
    labeled_corner: bool


def _fit_layout(classes: Sequence[ClassRow], width: int, height: int, digits: int) -> _Layout:
    name = min(16, max((cell_width(row.display_name) for row in classes), default=5))
    most = min(len(classes), height - 1)
    columns, cell = _fit_columns(width - name - 1, most, digits)
    widened = max(name, cell_width(AXIS_LABELS))
    columns_beside_labels, cell_beside_labels = _fit_columns(width - widened - 1, most, digits)
    if columns_beside_labels == columns and cell_beside_labels >= min(cell, max(5, digits)):
        return _Layout(columns, widened, cell_beside_labels, labeled_corner=True)
    return _Layout(columns, name, cell, labeled_corner=False)


def _fit_columns(width: int, most: int, digits: int) -> tuple[int, int]:
    """The number of columns that fit into `width` cells, and the width of each: for names, counts, or shades."""
    count = max(1, min(most, width))
    return count, next((w for w in (max(6, digits), max(5, digits), digits, 2) if w * count <= width), 1)


def _column_label(name: str, width: int) -> list[Cell]:
    """The start of a name, right-aligned in `width` cells."""
    start = to_cells(name, MUTED)[: width - 1]
    if start and cell_width(start[-1][0]) == 2:
        start.pop()
    return [(" ", MUTED)] * (width - len(start)) + start


def _matrix_cell(count: int, true: ClassRow, predicted: ClassRow, width: int, digits: int) -> list[Cell]:
    share = count / true.support if true.support else 0.0
    if true.index == predicted.index:
        style = f"{quality_style(share)} bold"
    else:
        style = MUTED if share < 0.02 else MEDIUM if share < 0.1 else POOR
    if width >= digits:
        return to_cells((str(count) if count else "·").rjust(width), style if count else MUTED)
    shade = 0 if not count else 1 if share < 0.05 else 2 if share < 0.2 else 3 if share < 0.6 else 4
    return to_cells(_SHADES[shade] * width, style if count else MUTED)
