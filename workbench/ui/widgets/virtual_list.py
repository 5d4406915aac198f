"""Rows under a header with a cursor, of which only the visible ones are drawn.

Drawing cell by cell instead of using Textual's `DataTable` keeps the bytes sent over SSH small: a cell that did not
change is not sent again, and ten thousand rows cost no more than ten.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sized
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType

from workbench.ui.widgets.abstract_widget import AbstractWidgetMeta
from workbench.ui.widgets.cell_grid import CellView

SCROLL_ROWS = 3
"""Rows that one step of the mouse wheel scrolls."""


class VirtualList(CellView, metaclass=AbstractWidgetMeta, can_focus=True):  # type: ignore[metaclass]
    """Moves a cursor over `rows` with keys, clicks and the mouse wheel. Subclasses draw the rows."""

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
        self.rows: Sized = ()
        self.cursor = 0
        """Index of the row under the cursor."""
        self.top = 0
        """Index of the first visible row."""
        self.user_moved = False
        """Whether the user has moved the cursor or scrolled."""

    @abstractmethod
    def redraw(self) -> None:
        """Draw the header and the visible rows."""

    @abstractmethod
    def cursor_moved(self) -> None:
        """Post a message that the cursor is on another row."""

    @abstractmethod
    def action_choose(self) -> None:
        """Choose the row under the cursor."""

    def header_clicked(self, x: int) -> None:
        """The header was clicked at column `x` of the widget."""

    @property
    def visible_rows(self) -> range:
        """Indices of the visible rows."""
        return range(self.top, min(len(self.rows), self.top + self._height))

    def move_to(self, index: int) -> None:
        """Move the cursor to row `index`, clamped to the existing rows."""
        self.user_moved = True
        index = max(0, min(index, len(self.rows) - 1))
        if self.rows and index != self.cursor:
            self.cursor = index
            self._scroll_to_cursor()
            self.redraw()
            self.cursor_moved()

    def set_rows(self, rows: Sized, index: int | None) -> None:
        """Show `rows` with the cursor on row `index`, on the same screen line as before.

        `None` leaves the cursor's index unchanged.
        """
        line = self.cursor - self.top
        self.rows = rows
        self.cursor = max(0, min(self.cursor, len(rows) - 1)) if index is None else index
        self.top = self.top if index is None else index - line
        self._scroll_to_cursor()
        self.redraw()

    def _scroll_to_cursor(self) -> None:
        """Scroll as little as makes the cursor visible."""
        top = max(self.cursor - self._height + 1, min(self.top, self.cursor))
        self.top = max(0, min(top, len(self.rows) - self._height))

    def action_move(self, by: int) -> None:
        """Move the cursor by `by` rows."""
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by `by` screens."""
        self.move_to(self.cursor + by * self._height)

    def action_go(self, index: int) -> None:
        """Move the cursor to row `index`; -1 is the last row."""
        self.move_to(index if index >= 0 else len(self.rows) - 1)

    def on_resize(self) -> None:
        self._scroll_to_cursor()
        self.redraw()

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked row; a double click chooses it."""
        index = event.y - 1 + self.top
        if event.y == 0:
            self.header_clicked(event.x)
        elif index < len(self.rows):
            self.move_to(index)
            if event.chain == 2:
                self.action_choose()

    def on_mouse_scroll_up(self) -> None:
        self._scroll(-SCROLL_ROWS)

    def on_mouse_scroll_down(self) -> None:
        self._scroll(SCROLL_ROWS)

    @property
    def _height(self) -> int:
        """Rows that fit under the header."""
        return max(1, self.size.height - 1)

    def _scroll(self, rows: int) -> None:
        self.user_moved = True
        self.top = max(0, min(self.top + rows, len(self.rows) - self._height))
        self.redraw()
