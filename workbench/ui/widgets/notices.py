"""The line of notices: the newest one stands there until the next; all of them can be looked at."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from textual.content import Content

from workbench.text import clock, safe
from workbench.ui.marks import MUTED
from workbench.ui.widgets.line import Line

KEPT = 500
STYLES = {"information": ("·", ""), "warning": ("⚠", "$warning"), "error": ("✗", "$error")}


@dataclass(frozen=True)
class Notice:
    """Something that was said, and when."""

    text: str
    severity: str
    time: float

    def content(self) -> Content:
        """`23:11 ✗ lr1: loss NaN at step 812`."""
        mark, style = STYLES.get(self.severity, STYLES["information"])
        return Content.assemble(
            (f" {clock(self.time)} ", MUTED), (f"{mark} ", style), (safe(self.text), style)
        )


class NoticeLine(Line):
    """Shows the newest notice, or what waits for a moment before it is done."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.notices: deque[Notice] = deque(maxlen=KEPT)
        self._waiting: Content | None = None

    @property
    def newest(self) -> Notice | None:
        """The one that stands there."""
        return self.notices[-1] if self.notices else None

    def say(self, text: str, severity: str = "information") -> None:
        """A new notice."""
        self.notices.append(Notice(text, severity, time.time()))
        self._redraw()

    def wait(self, content: Content | None) -> None:
        """Show something else in its place until `None` is given."""
        self._waiting = content
        self._redraw()

    def _redraw(self) -> None:
        newest = self.newest
        self.show(self._waiting or (newest.content() if newest else Content("")))
