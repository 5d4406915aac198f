"""One row of text that is sent to the terminal only when it differs."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


class Line(Static, can_focus=False):
    """A row as high as it is, cut at the right."""

    DEFAULT_CSS = """
    Line { height: 1; width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__("", markup=False, id=id, classes=classes)
        self._shown: Content | None = None

    @property
    def text(self) -> str:
        """What stands there."""
        return "" if self._shown is None else self._shown.plain

    def show(self, content: Content) -> None:
        """Put `content` there."""
        if self._shown is None or not self._shown.is_same(content):
            self._shown = content
            self.update(content, layout=False)
