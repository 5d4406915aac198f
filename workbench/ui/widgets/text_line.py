"""A line of text that is sent to the terminal only when it changed."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


class TextLine(Static, can_focus=False):
    """One row, truncated at the right."""

    DEFAULT_CSS = """
    TextLine { height: 1; width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__("", markup=False, id=id, classes=classes)
        self._shown: Content | None = None

    @property
    def text(self) -> str:
        """The text that is shown."""
        return "" if self._shown is None else self._shown.plain

    def show(self, content: Content) -> None:
        """Show `content`."""
        if self._shown is None or not self._shown.is_same(content):
            self._shown = content
            self.update(content, layout=False)
