"""A table with a header, a cursor that follows its row, and columns that give way where the width does not suffice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

from textual.message import Message

from workbench.core.text import cell_width
from workbench.ui.widgets.cell_grid import BLANK, Cell, to_cells
from workbench.ui.widgets.virtual_list import VirtualList

HEADER_STYLE = "$foreground-muted"
CURSOR_MARK = "▸"
"""Marks the row under the cursor; also readable without colors."""
CellContent = str | tuple[str, str]
"""Sanitized text, or sanitized text and the name of its style."""
Cells = Mapping[str, "CellContent | Callable[[int], CellContent]"]
"""The content of a row by column key; content that depends on the column's width is a function of it."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    In a narrow table, columns first shrink to their `min_width`, then those with the lowest `priority` are hidden.
    """

    key: str
    header: str
    width: int
    priority: int = 0
    min_width: int | None = None
    align_right: bool = False
    stretch: bool = False
    """Takes the width that other columns leave (one column of a table)."""
    min_table_width: int = 0
    """Hidden where all columns have fewer cells together."""
    max_table_width: int = 1_000_000
    """Hidden where all columns have more cells together."""
    gap: int = 1
    """Blank cells after it."""


@dataclass(frozen=True)
class Row:
    """A row: its key, and its content by column."""

    key: str
    cells: Cells = field(default_factory=dict)


class Rows(Protocol):
    """The rows of a table: a sequence, or an object that builds each row when it is drawn."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Row: ...


class PlacedColumn(NamedTuple):
    """A visible column and the cells it takes."""

    column: Column
    width: int


def fit_columns(columns: Sequence[Column], width: int) -> list[PlacedColumn]:
    """The columns that are visible in `width` cells, with their widths."""
    visible = [c for c in columns if c.min_table_width <= width <= c.max_table_width]
    while visible:
        missing = _total_width(visible) - width
        shrinkable = sum(c.width - c.min_width for c in visible if c.min_width is not None)
        if missing <= shrinkable:
            return _stretched(_shrunk(visible, max(0, missing)), width)
        if len(visible) == 1:
            return [PlacedColumn(visible[0], max(1, width))]
        visible.remove(min(visible, key=lambda c: c.priority))
    return []


def _total_width(columns: Sequence[Column]) -> int:
    return sum(c.width + c.gap for c in columns) - columns[-1].gap


def _shrunk(columns: Sequence[Column], missing: int) -> list[PlacedColumn]:
    """Take the missing cells from the columns of the lowest priority first."""
    widths = {c.key: c.width for c in columns}
    for column in sorted((c for c in columns if c.min_width is not None), key=lambda c: c.priority):
        taken = min(missing, column.width - (column.min_width or 0))
        widths[column.key] -= taken
        missing -= taken
    return [PlacedColumn(c, widths[c.key]) for c in columns]


def _stretched(placed: Sequence[PlacedColumn], width: int) -> list[PlacedColumn]:
    spare = width - sum(p.width + p.column.gap for p in placed) + placed[-1].column.gap
    return [PlacedColumn(p.column, p.width + max(0, spare) * p.column.stretch) for p in placed]


class Table(VirtualList):
    """Rows of columns under a header. Keys and clicks move the cursor; new rows do not."""

    DEFAULT_CSS = """
    Table { height: 1fr; width: 1fr; }
    """
    cursor_style: ClassVar[str] = "bold on $surface-lighten-2"
    """Of the row under the cursor while the table has the focus."""

    @dataclass
    class RowHighlighted(Message):
        """The cursor moved to another row."""

        key: str

    @dataclass
    class RowSelected(Message):
        """Enter was pressed on a row, or it was double-clicked."""

        key: str

    @dataclass
    class HeaderSelected(Message):
        """The header of a column was clicked."""

        column: str

    rows: Rows

    def __init__(self, *, choosable: bool = True, id: str | None = None, classes: str | None = None) -> None:
        """`choosable`: whether choosing a row does anything; else `enter` is not offered."""
        super().__init__(id=id, classes=classes)
        self._columns: Sequence[Column] = ()
        self._choosable = choosable

    @property
    def key(self) -> str | None:
        """The key of the row under the cursor; `None` for an empty table."""
        return self.rows[self.cursor].key if len(self.rows) else None

    @property
    def cursor_text(self) -> str:
        """The text of the row under the cursor; empty where it is not visible."""
        line = self.cursor - self.top + 1
        if not len(self.rows) or line >= len(self.lines):
            return ""
        return self.lines[line].removeprefix(CURSOR_MARK).strip()

    def show(self, columns: Sequence[Column], rows: Rows) -> None:
        """Show `rows`. The cursor stays on its row and that row on its screen line, once the user moved it."""
        self._columns = columns
        self.set_rows(rows, self._index_of(self.key, rows) if self.user_moved else None)

    def go_to(self, key: str) -> None:
        """Move the cursor to the row `key`, if there is one."""
        index = self._index_of(key, self.rows)
        if index is not None:
            self.move_to(index)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "choose" or self._choosable

    def cursor_moved(self) -> None:
        self.post_message(self.RowHighlighted(self.rows[self.cursor].key))

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        if self.key is not None:
            self.post_message(self.RowSelected(self.key))

    def placed_columns(self, width: int) -> list[PlacedColumn]:
        """The columns that are visible in `width` cells."""
        return fit_columns(self._columns, width)

    def header_clicked(self, x: int) -> None:
        start = 1
        for placed in self.placed_columns(self.size.width - 1):
            if start <= x < start + placed.width:
                self.post_message(self.HeaderSelected(placed.column.key))
                return
            start += placed.width + placed.column.gap

    @staticmethod
    def _index_of(key: str | None, rows: Rows) -> int | None:
        return next((index for index in range(len(rows)) if rows[index].key == key), None)

    def redraw(self) -> None:
        width, height = self.size
        if width < 1 or height < 1:
            return
        columns = self.placed_columns(width - 1)
        headers = {p.column.key: (p.column.header, HEADER_STYLE) for p in columns}
        grid = [_row_cells(columns, headers, width, "", " ")]
        for index in self.visible_rows:
            at_cursor = index == self.cursor
            style = (self.cursor_style if self.has_focus else "bold") if at_cursor else ""
            mark = CURSOR_MARK if at_cursor else " "
            grid.append(_row_cells(columns, self.rows[index].cells, width, style, mark))
        self.paint([*grid[:height], *[[BLANK] * width] * (height - len(grid))])


def _row_cells(
    columns: Sequence[PlacedColumn], cells: Cells, width: int, row_style: str, mark: str
) -> list[Cell]:
    line: list[Cell] = [(mark, f"$accent {row_style}".strip())]
    for placed in columns:
        column, room = placed.column, placed.width
        content = cells.get(column.key, "")
        content = content(room) if callable(content) else content
        text, style = (content, "") if isinstance(content, str) else content
        if column.align_right:
            text = " " * (room - cell_width(text)) + text
        line += [*to_cells(text, f"{style} {row_style}".strip(), room), *[(" ", row_style)] * column.gap]
    return [*line[:width], *[(" ", row_style)] * (width - len(line))]
