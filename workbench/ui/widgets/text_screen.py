"""Text to read: the end of a worker's log, the notices, the keys."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from workbench.core.text import safe
from workbench.ui.base.status_style import MUTED

TAIL = 128 << 10
LINES = 2000
REFRESH_SECONDS = 1.0


class Reading(ModalScreen[None]):
    """Lines in a frame, to scroll through. With `again`, they are read anew every second while one reads."""

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
        self, title: str, lines: Sequence[Content], again: Callable[[], Sequence[Content]] | None = None,
        *, at_end: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self._title, self._lines, self._again, self._at_end = safe(title), lines, again, at_end

    def compose(self) -> ComposeResult:
        """The frame."""
        with VerticalScroll(classes="reading") as frame:
            frame.border_title = self._title.replace("[", "\\[")
            frame.border_subtitle = "esc back"
            yield Static(_joined(self._lines), markup=False)

    def on_mount(self) -> None:
        """Begin at the end, where that is what matters."""
        if self._at_end:
            self.call_after_refresh(self._frame.scroll_end, animate=False)
        if self._again is not None:
            self.set_interval(REFRESH_SECONDS, self._read_again)

    @property
    def _frame(self) -> VerticalScroll:
        return self.query_one(VerticalScroll)

    def _read_again(self) -> None:
        lines = self._again() if self._again else self._lines
        if [line.plain for line in lines] == [line.plain for line in self._lines]:
            return
        was_at_end = self._frame.is_vertical_scroll_end
        self._lines = lines
        self.query_one(Static).update(_joined(lines))
        if was_at_end:
            self.call_after_refresh(self._frame.scroll_end, animate=False)

    def action_scroll(self, where: str) -> None:
        """Move through the text."""
        getattr(self._frame, f"scroll_{where}")(animate=False)

    async def action_dismiss(self, result: None = None) -> None:
        """Back to the panes."""
        self.dismiss(result)


def _joined(lines: Sequence[Content]) -> Content:
    return Content("\n").join(lines) if lines else Content.styled("nothing was written here", MUTED)


def log_tail(path: Path) -> list[Content]:
    """The last lines of a log; of a line that was drawn over again and again (a bar), what stood there last."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            data = file.read(TAIL)
    except OSError as error:
        return [Content(safe(f"{path}: {error.strerror}"))]
    lines = data.decode("utf-8", "replace").rstrip("\n").split("\n")
    if size > TAIL:
        lines = lines[1:]
    return [Content(safe(line.rstrip("\r").rpartition("\r")[2])) for line in lines[-LINES:]] if data else []
