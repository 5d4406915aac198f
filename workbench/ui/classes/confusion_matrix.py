"""What is taken for what: the confusion matrix as a grid of cells, and the most confused pairs as rows."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.core.text import cell_width, safe
from workbench.runs.confusions import confused
from workbench.runs.metrics import EvaluationFile
from workbench.ui.base.status_style import MUTED
from workbench.ui.classes.class_table import BAR, LONGEST_NAME, MIDDLING, POOR, Figures, quality, share_bar
from workbench.ui.widgets.cell_grid import Cell, Grid, spread
from workbench.ui.widgets.table import Cells, Column, Row

AXES = "true↓ predicted→"
"""What stands down and across the matrix."""
_SHADES = "·░▒▓█"


def pair_columns(rows: Sequence[Figures]) -> list[Column]:
    """The columns of the table of confused pairs."""
    name = max(9, min(LONGEST_NAME, max((cell_width(row.shown) for row in rows), default=0)))
    return [
        Column("true", "true", name, keep=9, least=8),
        Column("said", "taken for", name, keep=8, least=8),
        Column("count", "times", 6, keep=7, right=True),
        Column("bar", "", BAR, keep=3, least=5),
        Column("errors", "of errors", 10, keep=5, right=True),
        Column("class", "of class", 9, keep=4, right=True),
    ]


def pair_rows(evaluation: EvaluationFile | None, filter: str = "") -> list[Row]:
    """The most frequent confusions: their part of all errors, and of the true class."""
    pairs = confused(evaluation)
    errors = sum(count for *_, count in pairs)
    largest = pairs[0][2] if pairs else 1
    support = {row.name: row.support for row in (evaluation.per_class if evaluation else ())}
    return [
        Row(f"{true}\0{said}", _pair_cells((true, said), count, errors, largest, support.get(true, 0)))
        for true, said, count in pairs
        if filter in true.casefold() or filter in said.casefold()
    ]


def _pair_cells(pair: tuple[str, str], count: int, errors: int, largest: int, support: int) -> Cells:
    return {
        "true": safe(pair[0]),
        "said": safe(pair[1]),
        "count": (str(count), "bold"),
        "errors": f"{100 * count / errors:.0f}%",
        "bar": lambda width: (share_bar(count / largest, width), MIDDLING),
        "class": f"{100 * count / support:.0f}%" if support else "-",
    }


def heat(
    evaluation: EvaluationFile | None, shown: Sequence[Figures], width: int, height: int
) -> tuple[Grid, str]:
    """The confusion matrix as a grid, and what to say about it.

    A row for each true class, a column for each predicted one, in the order of `shown`; as many of them as
    there is room for. Counts where there is room, else shades of the row's share. Which is which stands in the
    corner where that costs no column and no count, else in what there is to say.
    """
    name = min(16, max((cell_width(row.shown) for row in shown), default=5))
    cells = evaluation.confusion if evaluation else ()
    counts = {(true, said): count for true, said, count in cells}
    digits = max((len(str(count)) for count in counts.values()), default=1) + 1
    most = min(len(shown), height - 1)
    count, cell = _columns(width - name - 1, most, digits)
    widened = max(name, cell_width(AXES))
    in_corner = _columns(width - widened - 1, most, digits)
    named = in_corner[0] == count and in_corner[1] >= min(cell, max(5, digits))
    if named:
        name, cell = widened, in_corner[1]
    drawn = shown[:count]
    head = spread(AXES if named else "", MUTED, name + 1)
    for row in drawn:
        head += _heat_label(row.shown if cell >= 5 else "", cell)
    grid = [head]
    for true in drawn:
        line = [*spread(true.shown, "", name), (" ", "")]
        for said in drawn:
            line += _heat_cell(counts.get((true.index, said.index), 0), true, said, cell, digits)
        grid.append(line)
    part = f"{len(drawn)} of {len(shown)} classes" if len(shown) > len(drawn) else ""
    return grid, "──".join(words for words in ("" if named else AXES, part) if words)


def _columns(room: int, most: int, digits: int) -> tuple[int, int]:
    """How many columns fit into `room` cells, and the cells of each: with names, with counts, or shades."""
    count = max(1, min(most, room))
    return count, next((w for w in (max(6, digits), max(5, digits), digits, 2) if w * count <= room), 1)


def _heat_label(name: str, width: int) -> list[Cell]:
    """The beginning of a name, at the right of `width` cells."""
    start = spread(name, MUTED)[: width - 1]
    if start and cell_width(start[-1][0]) == 2:
        start.pop()
    return [(" ", MUTED)] * (width - len(start)) + start


def _heat_cell(count: int, true: Figures, said: Figures, width: int, digits: int) -> list[Cell]:
    share = count / true.support if true.support else 0.0
    if true.index == said.index:
        style = f"{quality(share)} bold"
    else:
        style = MUTED if share < 0.02 else MIDDLING if share < 0.1 else POOR
    if width >= digits:
        return spread((str(count) if count else "·").rjust(width), style if count else MUTED)
    shade = 0 if not count else 1 if share < 0.05 else 2 if share < 0.2 else 3 if share < 0.6 else 4
    return spread(_SHADES[shade] * width, style if count else MUTED)
