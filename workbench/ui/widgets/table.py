"""A table that is drawn row by row as far as it is seen, and whose cursor stays on its row whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from textual.message import Message

from workbench.core.text import cell_width
from workbench.ui.widgets.cell_grid import Cell, spread
from workbench.ui.widgets.virtual_list import CursorRows

HEAD = "$foreground-muted"
CURSOR = "bold on $surface-lighten-2"
"""The row under the cursor in the table that has the keys; its ▸ tells it where there are no colours."""
Shown = str | tuple[str, str]
"""Text (made safe before), or text and the name of its style."""
Cells = Mapping[str, "Shown | Callable[[int], Shown]"]
"""What a row shows by column; what depends on the column's width is a function of it."""


@dataclass(frozen=True)
class Column:
    """A column. Where there is no room, columns shrink to `least`, then those with the lowest `keep` go."""

    key: str
    head: str
    width: int
    keep: int = 0
    least: int | None = None
    right: bool = False


@dataclass(frozen=True)
class Row:
    """A row: what it is known by, and what it shows in each column."""

    key: str
    cells: Cells = field(default_factory=dict)


def fit(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """The columns that are shown in `width` cells, a cell between them, and how wide each is."""
    shown = list(columns)
    while shown:
        missing = sum(c.width for c in shown) + len(shown) - 1 - width
        shrinkable = sum(c.width - c.least for c in shown if c.least is not None)
        if missing <= shrinkable:
            return _shrunk(shown, max(0, missing))
        if len(shown) == 1:
            return [(shown[0], max(1, width))]
        shown.remove(min(shown, key=lambda c: c.keep))
    return []


def _shrunk(columns: Sequence[Column], missing: int) -> list[tuple[Column, int]]:
    """Take the missing cells from the columns that are kept for least."""
    widths = {c.key: c.width for c in columns}
    for column in sorted((c for c in columns if c.least is not None), key=lambda c: c.keep):
        taken = min(missing, column.width - (column.least or 0))
        widths[column.key] -= taken
        missing -= taken
    return [(c, widths[c.key]) for c in columns]


class Table(CursorRows):
    """Rows of columns under a head. Keys and clicks move the cursor; new rows do not."""

    DEFAULT_CSS = """
    Table { height: 1fr; width: 1fr; }
    """

    @dataclass
    class Moved(Message):
        """The cursor came to another row."""

        key: str

    @dataclass
    class Chosen(Message):
        """Enter was pressed on a row, or it was clicked twice."""

        key: str

    @dataclass
    class HeadClicked(Message):
        """The head of a column was clicked."""

        column: str

    rows: Sequence[Row]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._columns: Sequence[Column] = ()

    @property
    def key(self) -> str | None:
        """The row under the cursor."""
        return self.rows[self.cursor].key if self.rows else None

    @property
    def line(self) -> str:
        """The row under the cursor as it is shown."""
        place = self.cursor - self.top + 1
        return self.lines[place].removeprefix("▸").strip() if self.rows and place < len(self.lines) else ""

    def show(self, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        """Show these rows in this order. The cursor stays on its row, and that row where it stands."""
        self._columns = columns
        # A cursor that nobody moved yet stays at the top, whatever comes there.
        self.put(rows, self._place_of(self.key, rows) if self.touched else None)

    def go_to(self, key: str) -> None:
        """Put the cursor on a row, if it is there."""
        place = self._place_of(key, self.rows)
        if place is not None:
            self.move_to(place)

    def moved(self) -> None:
        """Tell the row's key."""
        self.post_message(self.Moved(self.rows[self.cursor].key))

    def action_choose(self) -> None:
        """Tell that this row is meant."""
        if self.key is not None:
            self.post_message(self.Chosen(self.key))

    def head_clicked(self, x: int) -> None:
        """Tell which column it was."""
        start = 1
        for column, width in fit(self._columns, self.size.width - 1):
            if start <= x < start + width:
                self.post_message(self.HeadClicked(column.key))
                return
            start += width + 1

    @staticmethod
    def _place_of(key: str | None, rows: Sequence[Row]) -> int | None:
        return next((place for place, row in enumerate(rows) if row.key == key), None)

    def redraw(self) -> None:
        """Draw what is seen; only what differs is sent."""
        width, height = self.size
        if width < 1 or height < 1:
            return
        columns = fit(self._columns, width - 1)
        grid = [_line(columns, {c.key: (c.head, HEAD) for c, _ in columns}, width, "", " ")]
        for place in self.seen:
            marked = place == self.cursor
            extra = (CURSOR if self.has_focus else "bold") if marked else ""
            grid.append(_line(columns, self.rows[place].cells, width, extra, "▸" if marked else " "))
        self.paint([*grid[:height], *[[(" ", "")] * width] * (height - len(grid))])


def _line(
    columns: Sequence[tuple[Column, int]], cells: Cells, width: int, extra: str, mark: str
) -> list[Cell]:
    line: list[Cell] = [(mark, f"$accent {extra}".strip())]
    for column, room in columns:
        shown = cells.get(column.key, "")
        shown = shown(room) if callable(shown) else shown
        text, style = (shown, "") if isinstance(shown, str) else shown
        if column.right:
            text = " " * (room - cell_width(text)) + text
        line += [*spread(text, f"{style} {extra}".strip(), room), (" ", extra)]
    return [*line[:width], *[(" ", extra)] * (width - len(line))]
