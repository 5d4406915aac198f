"""Rows under a head with a cursor on one of them, drawn as far as they are seen: ten thousand cost no more than ten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType

from workbench.ui.widgets.cell_grid import CellView


class CursorRows(CellView, can_focus=True):
    """Moves a cursor over `rows` by keys, clicks and the wheel; who inherits draws them and says what a row means."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home,g", "go(0)", "first", show=False),
        Binding("end,G", "go(-1)", "last", show=False),
        Binding("enter,ctrl+j", "choose", "choose", show=False),
    ]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.rows: Sequence[Any] = ()
        self.cursor = 0
        """The place of the row under the cursor."""
        self.top = 0
        """The place of the first row that is seen."""
        self.touched = False
        """Whether anybody moved the cursor or the rows."""

    def redraw(self) -> None:
        """Draw what is seen; only what differs is sent."""
        raise NotImplementedError

    def moved(self) -> None:
        """Tell that the cursor came to another row."""
        raise NotImplementedError

    def action_choose(self) -> None:
        """Tell that the row under the cursor is meant."""
        raise NotImplementedError

    def head_clicked(self, x: int) -> None:
        """The head was clicked, so many cells from the left."""

    @property
    def seen(self) -> range:
        """The places of the rows that are seen."""
        return range(self.top, min(len(self.rows), self.top + self._height))

    def move_to(self, place: int) -> None:
        """Put the cursor on a row, or as near as there are any."""
        self.touched = True
        place = max(0, min(place, len(self.rows) - 1))
        if self.rows and place != self.cursor:
            self.cursor = place
            self._follow()
            self.redraw()
            self.moved()

    def put(self, rows: Sequence[Any], place: int | None) -> None:
        """Show other rows, the cursor on `place` and that row where it stands; with `None` the cursor stays."""
        seen_at = self.cursor - self.top
        self.rows = rows
        self.cursor = max(0, min(self.cursor, len(rows) - 1)) if place is None else place
        self.top = self.top if place is None else place - seen_at
        self._follow()
        self.redraw()

    def _follow(self) -> None:
        """Scroll as little as shows the cursor."""
        top = max(self.cursor - self._height + 1, min(self.top, self.cursor))
        self.top = max(0, min(top, len(self.rows) - self._height))

    def action_move(self, by: int) -> None:
        """Some rows up or down."""
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """A screenful up or down."""
        self.move_to(self.cursor + by * self._height)

    def action_go(self, place: int) -> None:
        """To the first row, or with -1 the last."""
        self.move_to(place if place >= 0 else len(self.rows) - 1)

    def on_resize(self) -> None:
        """More or fewer rows and columns fit."""
        self._follow()
        self.redraw()

    def on_focus(self) -> None:
        """The cursor is brighter in the rows that have the keys."""
        self.redraw()

    def on_blur(self) -> None:
        """And no longer."""
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        """Go to the row that was clicked; a second click chooses it."""
        place = event.y - 1 + self.top
        if event.y == 0:
            self.head_clicked(event.x)
        elif place < len(self.rows):
            self.move_to(place)
            if event.chain == 2:
                self.action_choose()

    def on_mouse_scroll_up(self) -> None:
        """Three rows back."""
        self._scroll(-3)

    def on_mouse_scroll_down(self) -> None:
        """Three rows on."""
        self._scroll(3)

    @property
    def _height(self) -> int:
        """How many rows fit under the head."""
        return max(1, self.size.height - 1)

    def _scroll(self, rows: int) -> None:
        self.touched = True
        self.top = max(0, min(self.top + rows, len(self.rows) - self._height))
        self.redraw()
