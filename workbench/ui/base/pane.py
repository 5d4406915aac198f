"""What every pane is: a numbered part of the screen that shows a value it is given."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.reactive import reactive

from workbench.core.text import cell_width, safe
from workbench.runs.reader import RunView

FRAME = 4
"""Cells of a frame's line that its words can't have."""


class Pane(Vertical, can_focus=False):
    """A framed part of the screen. Its content takes the focus; `1` to `9` go to it.

    A pane is a function of the values that the app pushes into it: it reads no files and asks no processes
    but through what it is given. A pane whose rows can be filtered has a reactive `filter`, a text.
    """

    NUMBER: ClassVar[str] = ""
    NAME: ClassVar[str] = ""
    SHORT: ClassVar[str] = ""
    """Its name on the narrow screen's row of tabs."""

    view: reactive[RunView | None] = reactive(None, always_update=True, repaint=False)
    """The selected run; set again whenever anything of it moved."""

    headline: reactive[str] = reactive("", repaint=False)
    """What stands behind the name in the frame."""

    def compose(self) -> ComposeResult:
        """The parts of the pane."""
        yield from ()

    def watch_headline(self) -> None:
        """Show it in the frame."""
        self._title()

    def on_mount(self) -> None:
        """Show the frame's title."""
        self._title()

    def on_descendant_focus(self) -> None:
        """Say in the frame which keys are only the pane's own."""
        self.border_subtitle = whole(self.own_keys(), self.size.width - FRAME).replace("[", "\\[")

    def on_resize(self) -> None:
        """More or fewer of them fit."""
        if self.has_focus_within:
            self.on_descendant_focus()

    def on_descendant_blur(self) -> None:
        """And no longer, unless it is another part of the pane that has them now."""
        if not self.has_focus_within:
            self.border_subtitle = ""

    def own_keys(self) -> str:
        """`a smooth  f follow`, from those of the pane's own bindings that do something now."""
        shown = [b for _, b in self._bindings if b.show and b.description and self.check_action(b.action, ())]
        return "  ".join(f"{self.app.get_key_display(b)} {b.description}" for b in shown)

    def copied(self) -> str:
        """What `y` copies while the pane is in front; empty where that is the selected run's folder."""
        return ""

    def _title(self) -> None:
        shown = f"{self.NUMBER} {self.NAME}" + (f"──{safe(self.headline)}" if self.headline else "")
        self.border_title = shown.replace("[", "\\[")

    def enter(self) -> None:
        """Give the focus to the part of the pane that takes keys."""
        for widget in self.query("*"):
            if widget.focusable:
                widget.focus()
                return


def whole(keys: str, width: int) -> str:
    """The hints of a line of keys (`a smooth  f follow`) that fit into `width` cells, none of them cut."""
    shown = keys.split("  ")
    while len(shown) > 1 and cell_width("  ".join(shown)) > width:
        shown.pop()
    return "  ".join(shown)
