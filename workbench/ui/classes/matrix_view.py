"""The confusion matrix with a cursor on one of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from workbench.ui.widgets.cell_grid import CellView


class MatrixView(CellView, can_focus=True):
    """Shows a confusion matrix that the pane paints; arrow keys move the cursor, `enter` opens a cell."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor_up", show=False),
        Binding("down", "cursor_down", show=False),
        Binding("left", "cursor_left", show=False),
        Binding("right", "cursor_right", show=False),
        Binding("home", "cursor_first", show=False),
        Binding("end", "cursor_last", show=False),
        Binding("enter,ctrl+j", "open", "images of the cell", show=False),
    ]

    @dataclass
    class CursorMoved(Message):
        """The cursor is on another cell, or became visible or invisible."""

    @dataclass
    class Opened(Message):
        """`enter` was pressed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.row = self.column = 0
        """Position among the classes that are shown."""
        self.count = 0
        """How many classes are shown."""

    @property
    def cursor(self) -> tuple[int, int] | None:
        """Row and column of the cursor while it is visible."""
        return (self.row, self.column) if self.has_focus else None

    def set_count(self, count: int) -> None:
        """Keep the cursor inside a matrix of `count` classes."""
        self.count = count
        self.row, self.column = (max(0, min(value, count - 1)) for value in (self.row, self.column))

    def watch_has_focus(self, _has_focus: bool) -> None:
        super().watch_has_focus(_has_focus)
        self.post_message(self.CursorMoved())

    def _move(self, rows: int, columns: int) -> None:
        self.row, self.column = self.row + rows, self.column + columns
        self.set_count(self.count)
        self.post_message(self.CursorMoved())

    def action_cursor_up(self) -> None:
        """Go to the true class above."""
        self._move(-1, 0)

    def action_cursor_down(self) -> None:
        """Go to the true class below."""
        self._move(1, 0)

    def action_cursor_left(self) -> None:
        """Go to the predicted class on the left."""
        self._move(0, -1)

    def action_cursor_right(self) -> None:
        """Go to the predicted class on the right."""
        self._move(0, 1)

    def action_cursor_first(self) -> None:
        """Go to the first true class."""
        self._move(-self.count, 0)

    def action_cursor_last(self) -> None:
        """Go to the last true class."""
        self._move(self.count, 0)

    def action_open(self) -> None:
        """Show the images of the cell under the cursor."""
        self.post_message(self.Opened())
