"""What the app and the driver of its terminal know of each other."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import App


class TerminalApp(App[None]):
    """An app that can send sequences to its terminal, and have the whole screen sent again."""

    redraw_terminal: Callable[[], object] | None = None
    """Set by the driver; `None` without a terminal."""
    write_terminal: Callable[[str], object] | None = None
    """Set by the driver; `None` without a terminal."""
    has_slow_line = False
    """Set by the driver: whether the line to the terminal is slow or unknown, so that images should take few bytes."""
    copied_text = ""

    @property
    def clipboard(self) -> str:
        """What ctrl+v inserts in an input line."""
        return self.copied_text

    def copy_to_clipboard(self, text: str) -> None:
        """Copy what was selected in an input line."""
        self.copied_text = text
        super().copy_to_clipboard(text)
