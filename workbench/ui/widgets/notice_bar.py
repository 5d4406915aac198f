"""The line of notices: the newest one stands there until the next; all of them can be looked at."""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass, replace

from textual.content import Content
from textual.timer import Timer

from workbench.core.text import clock, safe
from workbench.ui.base.status_style import MUTED
from workbench.ui.widgets.text_line import Line

KEPT = 500
PASSING_SECONDS = 6.0
WHOLE = " N reads on"
LONG_PATH = re.compile(r"/\S{12,}(/\S{1,30})")
STYLES = {"information": ("·", ""), "warning": ("⚠", "$warning"), "error": ("✗", "$error")}


@dataclass(frozen=True)
class Notice:
    """Something that was said, and when."""

    text: str
    severity: str
    time: float
    times: int = 1
    """How often it was said one after another."""

    def content(self) -> Content:
        """`23:11 ✗ lr1: loss NaN at step 812 (×2)`."""
        mark, style = STYLES.get(self.severity, STYLES["information"])
        again = f" (×{self.times})" if self.times > 1 else ""
        return Content.assemble(
            (f" {clock(self.time)} ", MUTED), (f"{mark} ", style), (safe(self.text), style), (again, MUTED)
        )


class NoticeLine(Line):
    """Shows the newest notice, or what waits for a moment before it is done."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.notices: deque[Notice] = deque(maxlen=KEPT)
        self._waiting: Content | None = None
        self._standing: Notice | None = None
        self._brief: Notice | None = None
        self._timer: Timer | None = None

    @property
    def newest(self) -> Notice | None:
        """The last that was said."""
        return self.notices[-1] if self.notices else None

    def say(self, text: str, severity: str = "information", *, passing: bool = False) -> None:
        """A new notice; a `passing` one makes way for the one before after some seconds, or at `pass_on`."""
        self.pass_on()
        before, times = self.newest, 1
        if before is not None and (before.text, before.severity) == (text, severity):
            times += self.notices.pop().times
        notice = Notice(text, severity, time.time(), times)
        self.notices.append(notice)
        if passing:
            self._brief, self._timer = notice, self.set_timer(PASSING_SECONDS, self.pass_on)
        else:
            self._standing = notice
        self._redraw()

    def pass_on(self) -> None:
        """Take a passing notice out of the line."""
        if self._timer is not None:
            self._timer.stop()
            self._brief = self._timer = None
            self._redraw()

    def on_resize(self) -> None:
        """More or less of it fits."""
        self._redraw()

    def wait(self, content: Content | None) -> None:
        """Show something else in its place until `None` is given."""
        self._waiting = content
        self._redraw()

    def _redraw(self) -> None:
        notice = self._brief or self._standing
        self.show(self._waiting or (self._fitted(notice) if notice else Content("")))

    def _fitted(self, notice: Notice) -> Content:
        """With paths shortened from the left where it is too long, else cut, with the key that shows it whole."""
        content, width = notice.content(), self.size.width
        if width and content.cell_length > width:
            content = replace(notice, text=LONG_PATH.sub(r"…\1", notice.text)).content()
        if not width or content.cell_length <= width:
            return content
        cut = content.truncate(width - len(WHOLE), ellipsis=True)
        return Content.assemble(cut, (WHOLE, "bold $accent"))
