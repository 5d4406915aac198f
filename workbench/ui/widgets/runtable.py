"""The list of runs: drawn row by row as far as it is seen, so that ten thousand cost no more than ten."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

from workbench import text
from workbench.runs.store import RunSummary
from workbench.text import safe
from workbench.ui.marks import MUTED, mark_of


@dataclass(frozen=True)
class Column:
    """One column: its head, its width in cells, what it shows, and from which width of the table on."""

    head: str
    width: int
    show: Callable[[RunSummary], str]
    at: int = 0


def _epoch(row: RunSummary) -> str:
    return f"{row.epoch}/{row.epochs_total}" if row.epochs_total else ""


def _best(row: RunSummary) -> str:
    return "" if row.best is None else text.fraction(row.best)


def _when(row: RunSummary) -> str:
    if row.status.live:
        return (row.phase or str(row.status)) if row.eta is None else text.duration(row.eta)
    return text.age(time.time() - row.created) if row.created else ""


COLUMNS = (
    Column("epoch", 8, _epoch),
    Column("best", 5, _best),
    Column("ETA/age", 7, _when),
    Column("device", 7, lambda row: safe(row.device), at=44),
    Column("model", 14, lambda row: safe(row.model), at=72),
    Column("data", 14, lambda row: safe(row.dataset), at=84),
    Column("started", 12, lambda row: text.clock(row.created) if row.created else "", at=100),
)

MARKED = "◆"


class RunTable(Widget, can_focus=True):
    """Rows of runs with a cursor that stays on its run whatever happens around it."""

    DEFAULT_CSS = """
    RunTable { height: 1fr; text-wrap: nowrap; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor_up", "up", show=False),
        Binding("down", "cursor_down", "down", show=False),
        Binding("pageup", "page_up", "page up", show=False),
        Binding("pagedown", "page_down", "page down", show=False),
        Binding("home,g", "cursor_first", "first", show=False),
        Binding("end,G", "cursor_last", "last", show=False),
        Binding("enter", "open", "open", show=False),
        Binding("space", "mark", "mark", show=False),
    ]

    @dataclass
    class Moved(Message):
        """The cursor came to another run."""

        run_id: str

    @dataclass
    class Opened(Message):
        """Enter was pressed on a run, or it was clicked twice."""

        run_id: str

    @dataclass
    class Marked(Message):
        """A mark should be set on a run, or taken away."""

        run_id: str

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[RunSummary] = []
        self.marked: frozenset[str] = frozenset()
        self.cursor = 0
        self._top = 0
        self._drawn: list[Content] = []

    @property
    def run_id(self) -> str | None:
        """The run under the cursor."""
        return self.rows[self.cursor].id if self.rows else None

    def show(
        self, rows: Sequence[RunSummary], run_id: str | None, marked: frozenset[str] = frozenset()
    ) -> None:
        """Show `rows`, the cursor on `run_id` (or where it stood, when that is not among them)."""
        self.marked = marked
        place = next((place for place, row in enumerate(rows) if row.id == run_id), None)
        seen_at = self.cursor - self._top
        self.rows = list(rows)
        self.cursor = max(0, min(self.cursor, len(rows) - 1)) if place is None else place
        self._top = self.cursor - seen_at  # rows that came or went elsewhere don't move what is read
        self._follow()
        self._redraw()

    def render_line(self, y: int) -> Strip:
        """One line as it was drawn last."""
        content = self._drawn[y] if y < len(self._drawn) else Content(" ")
        strips = Visual.to_strips(self, content, self.size.width, 1, self.visual_style, pad=True)
        return strips[0] if strips else Strip.blank(self.size.width, self.rich_style)

    def on_resize(self) -> None:
        """More or fewer rows and columns fit."""
        self._follow()
        self._redraw()

    def on_focus(self) -> None:
        """The cursor's row is brighter in the list that has the keys."""
        self._redraw()

    def on_blur(self) -> None:
        """And no longer."""
        self._redraw()

    def on_click(self, event: events.Click) -> None:
        """Go to the row that was clicked; open it at the second click."""
        place = event.y - 1 + self._top
        if event.y < 1 or place >= len(self.rows):
            return
        self.move_to(place)
        if event.chain == 2:
            self.action_open()

    def on_mouse_scroll_up(self) -> None:
        """Three rows back."""
        self._scroll(-3)

    def on_mouse_scroll_down(self) -> None:
        """Three rows on."""
        self._scroll(3)

    def move_to(self, place: int) -> None:
        """Put the cursor on a row."""
        place = max(0, min(place, len(self.rows) - 1))
        if not self.rows or place == self.cursor:
            return
        self.cursor = place
        self._follow()
        self._redraw()
        self.post_message(self.Moved(self.rows[place].id))

    def action_cursor_up(self) -> None:
        """One row up."""
        self.move_to(self.cursor - 1)

    def action_cursor_down(self) -> None:
        """One row down."""
        self.move_to(self.cursor + 1)

    def action_page_up(self) -> None:
        """One screenful up."""
        self.move_to(self.cursor - self._seen)

    def action_page_down(self) -> None:
        """One screenful down."""
        self.move_to(self.cursor + self._seen)

    def action_cursor_first(self) -> None:
        """To the first row."""
        self.move_to(0)

    def action_cursor_last(self) -> None:
        """To the last row."""
        self.move_to(len(self.rows) - 1)

    def action_open(self) -> None:
        """Open the run under the cursor."""
        if self.rows:
            self.post_message(self.Opened(self.rows[self.cursor].id))

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take its mark away, and go on to the next."""
        if self.rows:
            self.post_message(self.Marked(self.rows[self.cursor].id))
            self.move_to(self.cursor + 1)

    @property
    def _seen(self) -> int:
        """How many rows fit under the head."""
        return max(1, self.size.height - 1)

    def _follow(self) -> None:
        """Scroll as little as shows the cursor."""
        top = max(self.cursor - self._seen + 1, min(self._top, self.cursor))
        self._top = max(0, min(top, len(self.rows) - self._seen))

    def _scroll(self, rows: int) -> None:
        self._top = max(0, min(self._top + rows, len(self.rows) - self._seen))
        self._redraw()

    def _redraw(self) -> None:
        """Draw all lines anew, and have those sent that differ."""
        width, before = self.size.width, self._drawn
        columns = [column for column in COLUMNS if width >= column.at]
        name_width = max(8, width - 3 - sum(column.width + 1 for column in columns))
        rows = self.rows[self._top : self._top + self._seen]
        self._drawn = [_head(columns, name_width)] + [
            _row(
                row,
                columns,
                name_width,
                cursor=place == self.cursor,
                focus=self.has_focus,
                marked=row.id in self.marked,
            )
            for place, row in enumerate(rows, self._top)
        ]
        for y in range(max(len(before), len(self._drawn))):
            if y >= len(before) or y >= len(self._drawn) or not before[y].is_same(self._drawn[y]):
                self.refresh(Region(0, y, width, 1))


def _head(columns: Sequence[Column], name_width: int) -> Content:
    heads = " ".join(text.pad(column.head, column.width) for column in columns)
    return Content.styled(f"   {text.pad('name', name_width)} {heads}", MUTED)


def _row(
    row: RunSummary, columns: Sequence[Column], name_width: int, *, cursor: bool, focus: bool, marked: bool
) -> Content:
    mark, style = mark_of(row.status, row.phase)
    cells = " ".join(text.pad(column.show(row), column.width) for column in columns)
    content = Content.assemble(
        ("▸" if cursor else " ", "$accent"), (mark, style), (MARKED if marked else " ", "bold $accent"),
        f"{text.pad(safe(row.name), name_width)} {cells}",
    )  # fmt: skip
    if not cursor:
        return content
    return content.stylize("bold on $primary 30%" if focus else "bold")
