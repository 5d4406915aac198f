"""Moving about in the screen: from pane to pane, in what has the keys, and in lists that are filtered."""

from __future__ import annotations

from typing import Any

from textual import on
from textual.events import DescendantFocus, Resize
from textual.widgets import Input

from workbench.ui.base.key_queue import KeysInOrder
from workbench.ui.base.layout import MODULES, PLACES, Body, shape
from workbench.ui.base.pane import Pane
from workbench.ui.runs.compact_status import RestLines, Tabs

SHAPES = ("-tiny", "-narrow", "-low", "-short", "-roomy")
MOVES = {"up": "cursor_up", "down": "cursor_down", "left": "cursor_left", "right": "cursor_right",
         "first": "cursor_first", "last": "cursor_last"}  # fmt: skip
SCROLLS = {"up": "scroll_up", "down": "scroll_down", "left": "scroll_left", "right": "scroll_right",
           "first": "scroll_home", "last": "scroll_end"}  # fmt: skip


class Moving(KeysInOrder):
    """Which pane is in front, and what of it is seen."""

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self.panes: dict[str, Pane] = {}
        self.front, self.zoomed = "1", False
        self._shape: set[str] = set()
        self._filtered: Any = None

    async def put(self, number: str) -> None:
        """Load a pane into its place, once."""
        raise NotImplementedError

    def take_back(self) -> bool:
        """Forget a change that waits; whether one did."""
        raise NotImplementedError

    def unmark(self) -> bool:
        """Take all marks away; whether there were any."""
        raise NotImplementedError

    @property
    def pane(self) -> Pane | None:
        """The pane in front, once it is there."""
        return self.panes.get(self.front)

    @property
    def single(self) -> bool:
        """Whether one pane fills the screen."""
        return self.zoomed or "-narrow" in self._shape

    @on(DescendantFocus)
    def _focus_moved(self, event: DescendantFocus) -> None:
        """The pane that was clicked or tabbed into is the one that a zoom or a narrow screen shows."""
        pane = next((node for node in event.widget.ancestors_with_self if isinstance(node, Pane)), None)
        if pane is not None and self.front != pane.NUMBER:
            self.front = pane.NUMBER
            self.arrange()

    @on(Tabs.Clicked)
    async def _tab_clicked(self, event: Tabs.Clicked) -> None:
        await self.action_pane(event.number)

    def on_resize(self, event: Resize) -> None:
        """Panes stand together, or one at a time."""
        self._shape = shape(event.size)
        self.arrange()

    def arrange(self) -> None:
        """Put everything where it belongs on a screen of this size with this pane in front."""
        for name in SHAPES:
            self.screen_stack[0].set_class(name in self._shape, name)
        self.query_one(Body).stand(self.front, single=self.single)
        self.query_one(Tabs).show_front(self.front)
        self.query_one(RestLines).stand_under(self.front)
        self.refresh_bindings()

    async def action_pane(self, number: str) -> None:
        """Go to a pane."""
        if number not in MODULES:
            return
        self.front = number
        self.arrange()
        if number in self.panes:
            self.panes[number].enter()
        else:
            await self.put(number)

    def action_zoom(self) -> None:
        """The pane that has the keys fills the screen, or stands among the others again."""
        self.zoomed = not self.zoomed
        self.arrange()

    async def action_back(self) -> None:
        """Take back what waits, else leave the filter, the marks, the zoom, or a pane that stands alone."""
        if self.take_back():
            return
        if self.filter_line.has_class("-open"):
            self.filter_line.value = ""
            self._close_filter()
        elif self.zoomed or self.front in PLACES["more"]:
            self.zoomed = False
            await self.action_pane("1" if self.front in PLACES["more"] else self.front)
        else:
            self.unmark()

    def action_move(self, where: str) -> None:
        """`hjkl`, `g` and `G` do what arrows, home and end do."""
        focused = self.focused
        for name in (MOVES[where], SCROLLS[where]):
            move = getattr(focused, f"action_{name}", None)
            if move is not None:
                move()
                return

    def action_enter(self) -> None:
        """A newline that was sent or pasted counts as enter."""
        self.simulate_key("enter")

    # Filter

    @property
    def filter_line(self) -> Input:
        """Where words to filter by are typed."""
        return self.query_one("#filter", Input)

    @property
    def listing(self) -> Any:
        """The pane in front, where it has rows that can be filtered; else `None`."""
        pane = self.pane
        return pane if pane is not None and "filter" in pane._reactives else None

    def action_filter(self) -> None:
        """Type words that rows must have."""
        self._filtered = self.listing
        self.filter_line.add_class("-open")
        with self.filter_line.prevent(Input.Changed):
            self.filter_line.value = str(self._filtered.filter)
        self.filter_line.focus()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self._filtered.filter = event.value

    @on(Input.Submitted, "#filter")
    def _close_filter(self) -> None:
        self.filter_line.remove_class("-open")
        self._filtered.enter()
