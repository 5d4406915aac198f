"""Tables on stdout that fit the terminal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from workbench.cli.result_stream import result_stream
from workbench.core import text
from workbench.core.text import sanitize

GAP = "  "
MIN_COLUMN_WIDTH = 8
"""Cells below which no column is truncated."""
MIN_WRAP_WIDTH = 24
"""Cells that a last column of sentences needs to be wrapped instead of truncated."""

Row = Sequence[str]


def print_table(
    header: Row,
    rows: Sequence[Sequence[object]],
    *,
    droppable: Sequence[str] = (),
    short_ids: Sequence[str] = (),
) -> None:
    """Print rows under a header; the caller formats numbers.

    On a terminal no line is wider than the terminal. Until the table fits, in this order: the cells of the first
    column are replaced by `short_ids`, the columns named in `droppable` are left out one by one, the last column is
    wrapped, the widest columns are truncated. In a file or a pipe everything is printed.
    """
    table = [list(header), *([sanitize(cell) for cell in row] for row in rows)]
    for line in fit_table(table, _columns(), droppable, short_ids):
        print(line, file=result_stream())


def _columns() -> int | None:
    """The terminal's width, or `$COLUMNS`; `None` where stdout is a file or a pipe."""
    if not result_stream().isatty() and not os.environ.get("COLUMNS"):
        return None
    return shutil.get_terminal_size().columns


def fit_table(
    table: Sequence[Row], columns: int | None, droppable: Sequence[str] = (), short_ids: Sequence[str] = ()
) -> list[str]:
    """The lines of a table, whose first row is the header, within `columns` cells (`None`: unlimited)."""
    widths = _column_widths(table)
    if columns is None:
        return _table_lines(table, widths)
    if short_ids and _total_width(widths) > columns:
        table = [table[0], *([short, *row[1:]] for short, row in zip(short_ids, table[1:], strict=True))]
    for name in droppable:
        if name in table[0] and _total_width(_column_widths(table)) > columns:
            index = table[0].index(name)
            table = [[*row[:index], *row[index + 1 :]] for row in table]
    widths = _column_widths(table)
    if _total_width(widths) > columns:
        widths = _shrink_widths(widths, columns, _min_last_width([row[-1] for row in table]))
    return _table_lines(table, widths)


def _table_lines(table: Sequence[Row], widths: Sequence[int]) -> list[str]:
    return [line for row in table for line in _row_lines(row, widths)]


def _column_widths(table: Sequence[Row]) -> list[int]:
    return [max(map(text.cell_width, column)) for column in zip(*table, strict=True)]


def _total_width(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _min_last_width(column: Sequence[str]) -> int:
    """Cells that the last column needs: a few words can be stacked, sentences need room."""
    if max(map(text.cell_width, column)) > MIN_WRAP_WIDTH:
        return MIN_WRAP_WIDTH
    return max(text.cell_width(word) for cell in column for word in cell.split(" "))


def _shrink_widths(widths: Sequence[int], columns: int, min_last: int) -> list[int]:
    """Widths that fit: the last column gets the rest, at least `min_last`; then the widest columns shrink."""
    rest = columns - _total_width([*widths[:-1], 0])
    if rest >= min_last:
        return [*widths[:-1], rest]
    narrow = [*widths[:-1], min_last]
    while _total_width(narrow) > columns and max(narrow) > MIN_COLUMN_WIDTH:
        narrow[narrow.index(max(narrow))] -= 1
    return narrow


def _row_lines(row: Row, widths: Sequence[int]) -> list[str]:
    """The lines of one row: the last column is wrapped, the others are truncated."""
    first, *rest = wrap_text(row[-1], widths[-1])
    cells = [text.pad(cell, width) for cell, width in zip(row[:-1], widths, strict=False)]
    indent = " " * (_total_width([*widths[:-1], 0]))
    return [GAP.join([*cells, first]).rstrip(), *(indent + line for line in rest)]


def wrap_text(sentence: str, width: int) -> list[str]:
    """Lines of at most `width` cells, broken at spaces; a longer word is truncated."""
    lines = [""]
    for word in sentence.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if text.cell_width(longer) <= width:
            lines[-1] = longer
        elif lines[-1]:
            lines.append(text.truncate(word, width))
        else:
            lines[-1] = text.truncate(word, width)
    return lines
