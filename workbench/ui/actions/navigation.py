"""Move between the panes: which one is in front, zoom, cursor keys, and the filter of a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from textual.geometry import Size
from textual.widget import Widget

from workbench.ui.base.layout import PANES, SINGLE_ONLY, PaneId, size_classes
from workbench.ui.base.pane import Pane

CURSOR_ACTIONS = {"up": "cursor_up", "down": "cursor_down", "left": "cursor_left", "right": "cursor_right",
                  "first": "cursor_first", "last": "cursor_last"}  # fmt: skip
SCROLL_ACTIONS = {"up": "scroll_up", "down": "scroll_down", "left": "scroll_left", "right": "scroll_right",
                  "first": "scroll_home", "last": "scroll_end"}  # fmt: skip


class PaneView(Protocol):
    """What shows the panes."""

    @property
    def panes(self) -> Mapping[PaneId, Pane]:
        """The panes that are mounted."""

    async def mount_pane(self, pane_id: PaneId) -> Pane | None:
        """Import and mount a pane; `None` if it is or is being mounted already."""

    def is_visible(self, pane_id: PaneId) -> bool:
        """Whether the slot of a pane is on the screen now."""

    def show_layout(self, size_classes: set[str], front: PaneId, *, single: bool) -> None:
        """Arrange the panes for a terminal of these size classes."""

    @property
    def filter_is_open(self) -> bool:
        """Whether the filter's input is shown."""

    def open_filter(self, text: str) -> None:
        """Show the filter's input with `text`, and focus it."""

    def close_filter(self) -> None:
        """Hide the filter's input."""

    def clear_marks(self) -> None:
        """Unmark all runs."""


class Navigation:
    """Which pane is in front, and what of it is visible."""

    def __init__(self, view: PaneView) -> None:
        self._view = view
        self.front, self.zoomed = PaneId.RUNS, False
        self._size_classes: set[str] = set()
        self._filtered: Pane | None = None

    @property
    def front_pane(self) -> Pane | None:
        """The pane in front, once it is mounted."""
        return self._view.panes.get(self.front)

    @property
    def single(self) -> bool:
        """Whether one pane fills the screen."""
        return self.zoomed or "-narrow" in self._size_classes

    def resize(self, size: Size) -> None:
        """Arrange the panes for a terminal of `size`."""
        self._size_classes = size_classes(size)
        self.arrange()

    def arrange(self) -> None:
        """Show the panes side by side, or one at a time."""
        self._view.show_layout(self._size_classes, self.front, single=self.single)

    def bring_to_front(self, pane_id: PaneId) -> None:
        """Make a pane that got the focus the one that a zoom or a narrow screen shows."""
        if self.front != pane_id:
            self.front = pane_id
            self.arrange()

    async def go_to(self, pane_id: PaneId) -> None:
        """Bring a pane to the front and focus it; mount it first if necessary."""
        self.front = pane_id
        self.arrange()
        if pane_id in self._view.panes:
            self._view.panes[pane_id].focus_content()
        else:
            await self.mount_pane(pane_id)

    async def mount_pane(self, pane_id: PaneId) -> None:
        """Mount a pane, unless it is mounted; focus it if it is in front."""
        pane = await self._view.mount_pane(pane_id)
        if pane is not None and self.front == pane_id:
            pane.focus_content()

    async def mount_all(self) -> None:
        """Mount the panes that are not mounted yet, the visible ones first."""
        missing = [pane_id for pane_id in PANES if pane_id not in self._view.panes]
        for pane_id in sorted(missing, key=lambda pane_id: not self._view.is_visible(pane_id)):
            await self.mount_pane(pane_id)

    def unavailable_reason(self, action: str) -> str:
        """Why an action on the pane in front has no effect now, in one line; empty if it has."""
        if action == "zoom" and ("-narrow" in self._size_classes or self.front in SINGLE_ONLY):
            return f"zoom: {PANES[self.front].title} fills the screen already"
        if action == "filter" and not self.can_filter:
            return f"filter: {PANES[self.front].title} has no rows to filter"
        return ""

    def toggle_zoom(self) -> None:
        """Let the pane in front fill the screen, or show the others again."""
        self.zoomed = not self.zoomed
        self.arrange()

    async def go_back(self) -> None:
        """Leave the filter, else the zoom or a pane that is only shown alone, else remove the marks."""
        if self._view.filter_is_open:
            self.apply_filter("")
            self.end_filter()
        elif self.zoomed or self.front in SINGLE_ONLY:
            self.zoomed = False
            await self.go_to(PaneId.RUNS if self.front in SINGLE_ONLY else self.front)
        else:
            self._view.clear_marks()

    @property
    def can_filter(self) -> bool:
        """Whether the pane in front has rows that can be filtered."""
        pane = self.front_pane
        return pane is not None and pane.FILTERABLE

    def start_filter(self) -> None:
        """Let the user type words by which the rows of the pane in front are filtered."""
        pane = self.front_pane
        if pane is not None and pane.FILTERABLE:
            self._filtered = pane
            self._view.open_filter(pane.filter)

    def apply_filter(self, text: str) -> None:
        """Filter the rows by the words of `text`."""
        if self._filtered is not None:
            self._filtered.filter = text

    def complete_filter(self, text: str) -> list[str]:
        """What a filter of the pane in front can be completed to."""
        return [] if self._filtered is None else self._filtered.complete_filter(text)

    def end_filter(self) -> None:
        """Keep the filter, and give the focus back to the pane."""
        self._view.close_filter()
        if self._filtered is not None:
            self._filtered.focus_content()


def move_cursor(widget: Widget | None, direction: str) -> None:
    """Do in the focused widget what the arrow keys, home and end do: move its cursor, else scroll it."""
    for action in (CURSOR_ACTIONS[direction], SCROLL_ACTIONS[direction]):
        move = getattr(widget, f"action_{action}", None)
        if move is not None:
            move()
            return
