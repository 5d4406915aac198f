"""The notification bar: shows the newest notification, and keeps the history."""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass, replace

from textual.content import Content
from textual.timer import Timer

from workbench.core.text import format_time, sanitize
from workbench.ui.base.status_style import MUTED
from workbench.ui.widgets.text_line import TextLine

HISTORY_SIZE = 500
TRANSIENT_SECONDS = 6.0
READ_ON_HINT = " N: all"
LONG_PATH = re.compile(r"/\S{12,}(/\S{1,30})")
STYLES = {"information": ("·", ""), "warning": ("⚠", "$warning"), "error": ("✗", "$error")}


@dataclass(frozen=True)
class Notification:
    """A notification, and when it was shown."""

    text: str
    severity: str
    time: float
    count: int = 1
    """How often it was repeated in a row."""

    def content(self) -> Content:
        """`23:11 ✗ lr1: loss NaN at step 812 (×2)`."""
        mark, style = STYLES.get(self.severity, STYLES["information"])
        repeated = f" (×{self.count})" if self.count > 1 else ""
        return Content.assemble(
            (f" {format_time(self.time)} ", MUTED),
            (f"{mark} ", style),
            (sanitize(self.text), style),
            (repeated, MUTED),
        )


class NotificationBar(TextLine):
    """Shows the newest notification, or a pending change with its countdown."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.notifications: deque[Notification] = deque(maxlen=HISTORY_SIZE)
        self._pending: Content | None = None
        self._lasting: Notification | None = None
        self._transient: Notification | None = None
        self._timer: Timer | None = None

    @property
    def newest(self) -> Notification | None:
        """The last notification."""
        return self.notifications[-1] if self.notifications else None

    def add(self, text: str, severity: str = "information", *, transient: bool = False) -> None:
        """Show a notification.

        A `transient` one disappears after `TRANSIENT_SECONDS`, or at `dismiss_transient`; the one before it returns.
        """
        self.dismiss_transient()
        before, times = self.newest, 1
        if before is not None and (before.text, before.severity) == (text, severity):
            times += self.notifications.pop().count
        notice = Notification(text, severity, time.time(), times)
        self.notifications.append(notice)
        if transient:
            self._transient, self._timer = notice, self.set_timer(TRANSIENT_SECONDS, self.dismiss_transient)
        else:
            self._lasting = notice
        self._redraw()

    def dismiss_transient(self) -> None:
        """Remove a transient notification from the bar."""
        if self._timer is not None:
            self._timer.stop()
            self._transient = self._timer = None
            self._redraw()

    def on_resize(self) -> None:
        self._redraw()

    def set_pending(self, content: Content | None) -> None:
        """Show `content` in place of notifications until this is called with `None`."""
        self._pending = content
        self._redraw()

    def _redraw(self) -> None:
        notice = self._transient or self._lasting
        self.show(self._pending or (self._fitted(notice) if notice else Content("")))

    def _fitted(self, notice: Notification) -> Content:
        """Fit the text into the bar: shorten paths from the left, then truncate and name the key that shows it all."""
        content, width = notice.content(), self.size.width
        if width and content.cell_length > width:
            content = replace(notice, text=LONG_PATH.sub(r"…\1", notice.text)).content()
        if not width or content.cell_length <= width:
            return content
        cut = content.truncate(width - len(READ_ON_HINT), ellipsis=True)
        return Content.assemble(cut, (READ_ON_HINT, "bold $accent"))
