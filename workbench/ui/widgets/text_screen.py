"""A screen of text to read: the tail of a log, the notification history, the keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from workbench.core.text import sanitize
from workbench.runs.log_tail import read_log_tail
from workbench.ui.base.dialog import Dialog
from workbench.ui.base.status_style import MUTED

REFRESH_SECONDS = 1.0


class TextScreen(Dialog[None]):
    """Lines to scroll through. With `reload`, they are read again every second."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,ctrl+j,exclamation_mark,question_mark", "dismiss", "back"),
        Binding("g,home", "scroll('home')", "first"),
        Binding("G,end", "scroll('end')", "last"),
        Binding("j,down", "scroll('down')", "down"),
        Binding("k,up", "scroll('up')", "up"),
        Binding("pageup,b", "scroll('page_up')", "page up"),
        Binding("pagedown,space", "scroll('page_down')", "page down"),
    ]

    def __init__(
        self, title: str, lines: Sequence[Content], reload: Callable[[], Sequence[Content]] | None = None,
        *, at_end: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self._title, self._lines, self._reload, self._at_end = sanitize(title), lines, reload, at_end

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="reading" if self._reload is None else "reading -live") as frame:
            frame.border_title = self._title.replace("[", "\\[")
            frame.border_subtitle = "esc back"
            yield Static(_joined(self._lines), markup=False)

    def on_mount(self) -> None:
        if self._at_end:
            self.call_after_refresh(self._frame.scroll_end, animate=False)
        if self._reload is not None:
            self.set_interval(REFRESH_SECONDS, self._refresh_lines)

    @property
    def _frame(self) -> VerticalScroll:
        return self.query_one(VerticalScroll)

    def _refresh_lines(self) -> None:
        lines = self._reload() if self._reload else self._lines
        if [line.plain for line in lines] == [line.plain for line in self._lines]:
            return
        was_at_end = self._frame.is_vertical_scroll_end
        self._lines = lines
        self.query_one(Static).update(_joined(lines))
        if was_at_end:
            self.call_after_refresh(self._frame.scroll_end, animate=False)

    def action_scroll(self, direction: str) -> None:
        """Scroll the text."""
        getattr(self._frame, f"scroll_{direction}")(animate=False)

    async def action_dismiss(self, result: None = None) -> None:
        """Go back to the panes."""
        self.dismiss(result)


def _joined(lines: Sequence[Content]) -> Content:
    return Content("\n").join(lines) if lines else Content.styled("(empty)", MUTED)


def log_tail(path: Path) -> list[Content]:
    """The end of a log, or why it can't be read."""
    try:
        return [Content(line) for line in read_log_tail(path)]
    except OSError as error:
        return [Content(sanitize(f"{path}: {error.strerror}"))]
