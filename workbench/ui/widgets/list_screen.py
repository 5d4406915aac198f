"""A list of lines in a box over the panes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static

from workbench.core.text import sanitize
from workbench.ui.base.dialog import Dialog

WIDTH = 75


class ListScreen(Dialog[None]):
    """A heading, lines with a cursor, and a line at the bottom; `esc` closes it."""

    DEFAULT_CSS = """
    ListScreen { align: center middle; }
    ListScreen > Vertical {
        width: 80; max-width: 100%; max-height: 100%; padding: 0 1;
        border: round $accent; background: $surface;
    }
    ListScreen Static { height: 1; }
    ListScreen OptionList, ListScreen OptionList:focus {
        height: 1fr; border: none; padding: 0; background: transparent; scrollbar-size-vertical: 1;
        scrollbar-background: $surface;
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,v", "dismiss", "back"),
        Binding("down,j", "move('cursor_down')", show=False),
        Binding("up,k", "move('cursor_up')", show=False),
        Binding("pagedown", "move('page_down')", show=False),
        Binding("pageup", "move('page_up')", show=False),
        Binding("home,g", "move('first')", show=False),
        Binding("end,G", "move('last')", show=False),
    ]

    def __init__(self, title: str, heading: str, lines: Sequence[str], foot: str = "") -> None:
        """Each is one line of sanitized text; the title is sanitized here."""
        super().__init__()
        self._title, self._heading, self._lines, self._foot = title, heading, lines, foot

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = sanitize(self._title, WIDTH).replace("[", "\\[")
            box.border_subtitle = "esc back"
            box.styles.height = len(self._lines) + 4
            yield Static(Text(self._heading, style="dim"))
            yield OptionList(*(Text(line, no_wrap=True) for line in self._lines), markup=False)
            yield Static(Text(self._foot, style="bold"), id="foot")

    def on_resize(self) -> None:
        for options in self.query(OptionList):  # none if it is closed before it was shown
            self.call_after_refresh(options.scroll_to_highlight)

    def action_move(self, action: str) -> None:
        """Run the list's own cursor action."""
        getattr(self.query_one(OptionList), f"action_{action}")()
