"""Textual's driver for Unix terminals, which sends only changed cells, at the pace at which the terminal shows them.

Between this process and a distant terminal, pty and SSH buffer megabytes, so a slow line can't be noticed by writing to
it. Terminals that answer a query are asked after each larger update, and get the next one after their answer.
"""

from __future__ import annotations

import asyncio
import curses
import select
import shutil
import sys
import time
from collections import deque
from typing import Any, TextIO

from textual.app import App
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message
from textual.messages import TerminalSupportsSynchronizedOutput

from workbench.core.plain_text import to_plain
from workbench.system.terminal_info import plain_reason
from workbench.ui.base.escape_parser import EscapeParser
from workbench.ui.base.frame_diff import FrameDiff
from workbench.ui.base.terminal_app import TerminalApp

linux_driver.XTermParser = EscapeParser  # type: ignore[attr-defined]  # Textual has no other way to replace it

QUERY = "\x1b[?2026$p"
"""DECRQM, "is synchronized output supported?", which Textual sends once at the start."""
MAX_UNCONFIRMED = 2_000
"""So many bytes may be on their way: half a second of a line of 4 kB/s."""
MIN_QUERIED = 250
"""Bytes from which on an update is worth a query."""
ANSWER_SECONDS = 10.0
"""An answer that takes longer is lost."""
RETRY_SECONDS = 0.05


class DiffDriver(LinuxDriver):
    """Sends the difference between two frames; a frame that a slow line can't carry is skipped, not queued."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        translate = to_plain if plain_reason() else None
        self._frame = FrameDiff(shutil.get_terminal_size(), _can_erase(), translate)
        self._retry: asyncio.TimerHandle | None = None
        self._loop_of_app: asyncio.AbstractEventLoop | None = None
        self._answers = False
        """Whether this terminal answers the query."""
        self._unconfirmed: deque[tuple[float, int]] = deque()
        """When a query was sent, and how many bytes before it."""
        self._unqueried = 0
        self._active = False
        """Whether the screen belongs to this app: not before its start, after its end and while it is suspended."""
        if isinstance(app, TerminalApp):
            app.redraw_terminal, app.write_terminal = self._redraw, self.write

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._active, self._loop_of_app = True, asyncio.get_running_loop()
        self._unconfirmed.clear()
        # After `fg`, Textual itself draws nothing.
        self._loop_of_app.call_soon_threadsafe(self._redraw)

    def stop_application_mode(self) -> None:
        self._active = False
        super().stop_application_mode()

    def process_message(self, message: Message) -> None:
        """Take note of what the terminal has shown (in the thread that reads)."""
        if isinstance(message, TerminalSupportsSynchronizedOutput) and self._loop_of_app is not None:
            self._loop_of_app.call_soon_threadsafe(self._confirm)
            if self._answers:
                return
            self._answers = True
        super().process_message(message)

    def write(self, data: str) -> None:
        """Take over a part of a frame; sequences that draw no cells are sent at once."""
        self._frame.resize(shutil.get_terminal_size())
        if passed := self._frame.feed(data):
            super().write(passed)

    def flush(self) -> None:
        """Send what changed, as soon as the terminal has shown what was sent before."""
        self._cancel_retry()
        if not self._active:
            return
        if not self._accepts_output():
            self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self.flush)
        elif update := self._frame.take():
            self._unqueried += len(update.encode())
            if self._answers and self._unqueried >= MIN_QUERIED:
                self._unconfirmed.append((time.monotonic(), self._unqueried))
                self._unqueried = 0
                update += QUERY
            super().write(update)

    def _confirm(self) -> None:
        if self._unconfirmed:
            self._unconfirmed.popleft()
            self.flush()

    def _accepts_output(self) -> bool:
        while self._unconfirmed and self._unconfirmed[0][0] < time.monotonic() - ANSWER_SECONDS:
            self._unconfirmed.popleft()
        return sum(size for _, size in self._unconfirmed) < MAX_UNCONFIRMED and _is_writable(sys.__stderr__)

    def _redraw(self) -> None:
        self._frame.forget_shown()
        self.flush()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None


def _can_erase() -> bool:
    """Whether the terminal's description says that erased cells get the current background."""
    try:
        curses.setupterm(fd=sys.__stderr__.fileno() if sys.__stderr__ else -1)
        return curses.tigetflag("bce") > 0 and curses.tigetstr("ech") is not None
    except (curses.error, OSError):
        return False


def _is_writable(stream: TextIO | None) -> bool:
    """Whether a write would not block; `True` if the terminal is gone, so that nothing waits for it."""
    try:
        return stream is None or bool(select.select([], [stream.fileno()], [], 0)[1])
    except (OSError, ValueError):
        return True
