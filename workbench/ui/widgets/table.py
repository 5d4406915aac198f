"""A table that is drawn row by row as far as it is seen, and whose cursor stays on its row whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from workbench.text import cell_width
from workbench.ui.widgets.cells import Cell, CellView, spread

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


class Table(CellView, can_focus=True):
    """Rows under a head. Keys and clicks move the cursor; new rows do not."""

    DEFAULT_CSS = """
    Table { height: 1fr; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home,g", "go(0)", "first", show=False),
        Binding("end,G", "go(-1)", "last", show=False),
        Binding("enter,ctrl+j", "choose", "choose", show=False),
    ]

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

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._columns: Sequence[Column] = ()
        self.rows: Sequence[Row] = ()
        self.cursor = 0
        """The place of the row under the cursor."""
        self._top = 0
        self._touched = False

    @property
    def key(self) -> str | None:
        """The row under the cursor."""
        return self.rows[self.cursor].key if self.rows else None

    @property
    def line(self) -> str:
        """The row under the cursor as it is shown."""
        place = self.cursor - self._top + 1
        return self.lines[place].removeprefix("▸").strip() if self.rows and place < len(self.lines) else ""

    def show(self, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        """Show these rows in this order. The cursor stays on its row, and that row where it stands."""
        key, seen_at = self.key, self.cursor - self._top
        self._columns, self.rows = columns, rows
        place = next((place for place, row in enumerate(rows) if row.key == key), None)
        if place is not None and self._touched:
            self.cursor, self._top = place, place - seen_at
        else:  # a cursor that nobody moved yet stays at the top, whatever comes there
            self.cursor = max(0, min(self.cursor, len(rows) - 1))
        self._follow()
        self.redraw()

    def go_to(self, key: str) -> None:
        """Put the cursor on a row, if it is there."""
        for place, row in enumerate(self.rows):
            if row.key == key:
                self._move_to(place)
                return

    def action_move(self, by: int) -> None:
        """Some rows up or down."""
        self._move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """A screenful up or down."""
        self._move_to(self.cursor + by * self._seen)

    def action_go(self, place: int) -> None:
        """To the first row, or with -1 the last."""
        self._move_to(place if place >= 0 else len(self.rows) - 1)

    def action_choose(self) -> None:
        """Tell that this row is meant."""
        if self.key is not None:
            self.post_message(self.Chosen(self.key))

    def on_resize(self) -> None:
        """More or fewer rows and columns fit."""
        self._follow()
        self.redraw()

    def on_focus(self) -> None:
        """The cursor is brighter in the table that has the keys."""
        self.redraw()

    def on_blur(self) -> None:
        """And no longer."""
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        """Go to the row that was clicked; a second click chooses it; the head tells which column it was."""
        if event.y == 0:
            if (column := self._column_at(event.x)) is not None:
                self.post_message(self.HeadClicked(column))
        elif event.y - 1 + self._top < len(self.rows):
            self._move_to(event.y - 1 + self._top)
            if event.chain == 2:
                self.action_choose()

    def on_mouse_scroll_up(self) -> None:
        """Three rows back."""
        self._scroll(-3)

    def on_mouse_scroll_down(self) -> None:
        """Three rows on."""
        self._scroll(3)

    def _column_at(self, x: int) -> str | None:
        start = 1
        for column, width in fit(self._columns, self.size.width - 1):
            if start <= x < start + width:
                return column.key
            start += width + 1
        return None

    @property
    def _seen(self) -> int:
        """How many rows fit under the head."""
        return max(1, self.size.height - 1)

    def _move_to(self, place: int) -> None:
        self._touched = True
        place = max(0, min(place, len(self.rows) - 1))
        if self.rows and place != self.cursor:
            self.cursor = place
            self._follow()
            self.redraw()
            self.post_message(self.Moved(self.rows[place].key))

    def _follow(self) -> None:
        """Scroll as little as shows the cursor."""
        top = max(self.cursor - self._seen + 1, min(self._top, self.cursor))
        self._top = max(0, min(top, len(self.rows) - self._seen))

    def _scroll(self, rows: int) -> None:
        self._touched = True
        self._top = max(0, min(self._top + rows, len(self.rows) - self._seen))
        self.redraw()

    def redraw(self) -> None:
        """Draw what is seen; only what differs is sent."""
        width, height = self.size
        if width < 1 or height < 1:
            return
        columns = fit(self._columns, width - 1)
        rows = self.rows[self._top : self._top + self._seen]
        grid = [_line(columns, {c.key: (c.head, HEAD) for c, _ in columns}, width, "", " ")]
        for place, row in enumerate(rows, self._top):
            marked = place == self.cursor
            extra = (CURSOR if self.has_focus else "bold") if marked else ""
            grid.append(_line(columns, row.cells, width, extra, "▸" if marked else " "))
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
