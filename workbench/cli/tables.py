"""Tables on stdout that fit the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

from workbench.core import text
from workbench.core.text import safe

GAP = "  "
NARROWEST = 8
"""Cells below which no column is cut."""
WRAPPED = 24
"""Cells that a last column of sentences needs at the least, so that it is wrapped and not cut."""

Row = Sequence[str]


def print_table(
    head: Row, rows: Sequence[Sequence[object]], *, spare: Sequence[str] = (), brief: Sequence[str] = ()
) -> None:
    """Rows under a head, columns as wide as they need to be; numbers are the caller's to format.

    On a terminal no line is longer than it is wide: the first column is said as in `brief`, columns named in `spare`
    are left out, in that order, then the last column is wrapped, or the widest are cut. Elsewhere (a file, a pipe)
    everything is printed.
    """
    table = [list(head), *([safe(cell) for cell in row] for row in rows)]
    for line in fit(table, _columns(), spare, brief):
        print(line)


def _columns() -> int | None:
    """The terminal's width, or `$COLUMNS`; `None` where the output goes anywhere else."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return None
    return shutil.get_terminal_size().columns


def fit(
    table: Sequence[Row], columns: int | None, spare: Sequence[str] = (), brief: Sequence[str] = ()
) -> list[str]:
    """The lines of a table (its head is the first row) within so many cells; `None` is any number."""
    kept, left_out = list(range(len(table[0]))), list(spare)
    if brief and columns is not None and _total(_widths(table, kept)) > columns:
        table = [table[0], *([short, *row[1:]] for short, row in zip(brief, table[1:], strict=True))]
    while columns is not None and left_out and _total(_widths(table, kept)) > columns:
        kept = [i for i in kept if table[0][i] != left_out[0]]
        del left_out[0]
    shown = [[row[i] for i in kept] for row in table]
    widths = _widths(table, kept)
    if columns is not None and _total(widths) > columns:
        widths = _narrowed(widths, columns, _least([row[-1] for row in shown]))
    return [line for row in shown for line in _lines(row, widths)]


def _widths(table: Sequence[Row], kept: Sequence[int]) -> list[int]:
    return [max(text.cell_width(row[i]) for row in table) for i in kept]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _least(column: Sequence[str]) -> int:
    """Cells that the last column needs: a few words can stand under each other, sentences can't."""
    if max(map(text.cell_width, column)) > WRAPPED:
        return WRAPPED
    return max(text.cell_width(word) for cell in column for word in cell.split(" "))


def _narrowed(widths: Sequence[int], columns: int, least: int) -> list[int]:
    """The last column takes what is left where `least` is enough to be read; then the widest give way."""
    rest = columns - _total([*widths[:-1], 0])
    if rest >= least:
        return [*widths[:-1], rest]
    narrow = [*widths[:-1], least]
    while _total(narrow) > columns and max(narrow) > NARROWEST:
        narrow[narrow.index(max(narrow))] -= 1
    return narrow


def _lines(row: Row, widths: Sequence[int]) -> list[str]:
    """One row: the last column wrapped under itself, the others cut."""
    first, *rest = wrapped(row[-1], widths[-1])
    cells = [text.pad(cell, width) for cell, width in zip(row[:-1], widths, strict=False)]
    indent = " " * (_total([*widths[:-1], 0]))
    return [GAP.join([*cells, first]).rstrip(), *(indent + line for line in rest)]


def wrapped(words: str, width: int) -> list[str]:
    """Text in lines of at most `width` cells, broken at spaces; a word that is longer is cut."""
    lines = [""]
    for word in words.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if text.cell_width(longer) <= width:
            lines[-1] = longer
        elif lines[-1]:
            lines.append(text.cut(word, width))
        else:
            lines[-1] = text.cut(word, width)
    return lines
