"""Textual's driver for Unix terminals, which sends only changed cells, at the pace at which the terminal shows them."""

from __future__ import annotations

import asyncio
import curses
import select
import shutil
import sys
import time
from functools import partial
from typing import Any, TextIO

from textual.app import App
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Region
from textual.message import Message
from textual.messages import TerminalSupportsSynchronizedOutput

from workbench.core.plain_text import to_plain
from workbench.system.terminal_info import plain_reason
from workbench.ui.base.escape_parser import PROBE_ROW, CursorReported, EscapeParser, Operating
from workbench.ui.base.frame_diff import FrameDiff
from workbench.ui.base.line_pace import UNKNOWN_SECONDS, LinePace
from workbench.ui.base.pane import Pane
from workbench.ui.base.terminal_app import TerminalApp

linux_driver.XTermParser = EscapeParser  # type: ignore[attr-defined]  # Textual has no other way to replace it

MODE_QUERY = "\x1b[?2026$p"
"""DECRQM, "is synchronized output supported?", which Textual sends once at the start."""
STATUS_QUERY = "\x1b[5n"
"""DSR, "are you operating?"."""
PROBE = f"\x1b[{PROBE_ROW};1H \x1b[3b─\x1b[3b\x1b[6n"
"""Two characters, of one byte and of three, each to be repeated three times, and the question where the cursor is."""
COLUMN_IF_REPEATED, COLUMN_IF_ASCII_REPEATED = 9, 6
RETRY_SECONDS = 0.05
SETTLE_SECONDS = 0.03
"""So long, two frames of Textual, a repainted screen is held back: the panes lay out their content once more."""
MAX_SETTLE_SECONDS = 0.15
"""Over a slow line it is held back until no frame follows for `SETTLE_SECONDS`, but no longer than this."""


class DiffDriver(LinuxDriver):
    """Sends the difference between two frames; a frame that a slow line can't carry is skipped, not queued."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._frame = FrameDiff(shutil.get_terminal_size(), to_plain if plain_reason() else None)
        self._frame.pen.can_erase = _can_erase()
        self._pace = LinePace()
        self._retry: asyncio.TimerHandle | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._settle_until = 0.0
        self._loop_of_app: asyncio.AbstractEventLoop | None = None
        self._workbench = app
        self._query = ""
        """A query that this terminal answers; empty until one was answered."""
        self._knows_modes = False
        """Whether Textual's own query was answered."""
        self._active = False
        """Whether the screen belongs to this app: not before its start, after its end and while it is suspended."""
        if isinstance(app, TerminalApp):
            app.redraw_terminal, app.write_terminal = self._redraw, self.write
            app.has_slow_line = self._pace.is_slow

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._active, self._loop_of_app = True, asyncio.get_running_loop()
        self._knows_modes = False
        self._pace.clear()
        if self.input_tty:
            super().write(PROBE.replace("─", "-") if plain_reason() else PROBE)
            self._pace.expect_answer()
        # After `fg`, Textual itself draws nothing.
        self._loop_of_app.call_soon_threadsafe(self._redraw)
        self._loop_of_app.call_later(UNKNOWN_SECONDS, self._send)  # with all colors, if nothing was answered

    def stop_application_mode(self) -> None:
        self._active = False
        super().stop_application_mode()

    def process_message(self, message: Message) -> None:
        """Take note of what the terminal can do and has shown (in the thread that reads)."""
        if isinstance(message, Operating | CursorReported | TerminalSupportsSynchronizedOutput):
            if self._loop_of_app is not None:
                confirm = partial(self._confirm, message, time.monotonic())
                self._loop_of_app.call_soon_threadsafe(confirm)
        else:
            super().process_message(message)

    def write(self, data: str) -> None:
        """Take over a part of a frame; sequences that draw no cells are sent at once."""
        self._frame.resize(shutil.get_terminal_size())
        if passed := self._frame.feed(data):
            super().write(passed)

    def flush(self) -> None:
        """Send what changed, as soon as the terminal has shown what was sent before."""
        if not self._active:
            return
        if self._settling is not None:
            if self._pace.is_slow and self._query:
                self._settle()
        elif self._frame.is_repainted and self._retry is None:
            self._settle_until = time.monotonic() + MAX_SETTLE_SECONDS
            self._settle()
        else:
            self._send()

    def _settle(self) -> None:
        """Send after a moment without another frame."""
        if self._settling is not None:
            self._settling.cancel()
        moment = min(SETTLE_SECONDS, max(0.0, self._settle_until - time.monotonic()))
        self._settling = asyncio.get_running_loop().call_later(moment, self._send)

    def _send(self) -> None:
        self._cancel_timers()
        if not self._active:
            return
        limit = self._pace.chunk if self._query else None
        self._frame.use_few_colors(images=self._pace.is_slow, text=self._pace.is_measured_slow)
        if isinstance(self._workbench, TerminalApp):
            self._workbench.has_slow_line = self._pace.is_slow
        region = self._pane_in_use() if self._pace.is_slow else Region()
        self._frame.first_rows, self._frame.first_columns = (
            range(region.y, region.bottom), range(region.x, region.right)
        )  # fmt: skip
        while self._accepts_output() and (update := self._frame.take(limit)):
            if self._query and self._pace.send(len(update.encode())):
                update += self._query
            super().write(update)
        if self._frame.is_behind:
            self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._send)

    def _pane_in_use(self) -> Region:
        """Where the pane is that has the focus; empty if none has it, or a dialog."""
        focused = self._workbench.focused
        panes = (
            (node.region for node in focused.ancestors_with_self if isinstance(node, Pane)) if focused else ()
        )
        return next(iter(panes), Region())

    def _confirm(self, message: Message, at: float) -> None:
        if isinstance(message, TerminalSupportsSynchronizedOutput) and not self._knows_modes:
            self._knows_modes = True
            self._query = self._query or MODE_QUERY
            super().process_message(message)
            return
        if isinstance(message, CursorReported):
            self._query = STATUS_QUERY
            self._frame.pen.can_repeat = message.column == COLUMN_IF_REPEATED
            self._frame.pen.can_repeat_ascii = message.column in {
                COLUMN_IF_REPEATED,
                COLUMN_IF_ASCII_REPEATED,
            }
        self._pace.answer(at)
        if self._settling is None:
            self._send()

    def _accepts_output(self) -> bool:
        return self._pace.accepts() and _is_writable(sys.__stderr__)

    def _redraw(self) -> None:
        self._frame.forget_shown()
        self.flush()

    def _cancel_timers(self) -> None:
        for timer in (self._retry, self._settling):
            if timer is not None:
                timer.cancel()
        self._retry = self._settling = None


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
