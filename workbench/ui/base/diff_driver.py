"""Textual's driver for Unix terminals, which sends only changed cells, at the pace at which the terminal takes them."""

from __future__ import annotations

import asyncio
import curses
import os
import select
import sys
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

from workbench.ui.base.frame_diff import FrameDiff

DEFAULT_SIZE = (80, 25)
RETRY_SECONDS = 0.05


@runtime_checkable
class Redrawable(Protocol):
    """An app that can ask for the whole screen to be sent again."""

    redraw_terminal: Callable[[], object]


class DiffDriver(LinuxDriver):
    """Sends the difference between two frames; a frame that a slow line can't carry is skipped, not queued."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._frame = FrameDiff(DEFAULT_SIZE)
        self._retry: asyncio.TimerHandle | None = None
        if isinstance(app, Redrawable):
            app.redraw_terminal = self._redraw

    def start_application_mode(self) -> None:
        self._frame = FrameDiff(self._terminal_size(), _can_erase())  # at the start, and after `fg`
        super().start_application_mode()

    def stop_application_mode(self) -> None:
        self._cancel_retry()
        super().stop_application_mode()

    def write(self, data: str) -> None:
        """Take over a part of a frame; sequences that draw no cells are sent at once."""
        self._frame.resize(self._terminal_size())
        if passed := self._frame.feed(data):
            super().write(passed)

    def flush(self) -> None:
        """Send what changed, as soon as the terminal has taken what was sent before."""
        self._cancel_retry()
        if not _accepts_output():
            self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self.flush)
        elif update := self._frame.take():
            super().write(update)

    def _redraw(self) -> None:
        self._frame.forget_shown()
        self.flush()

    def _terminal_size(self) -> tuple[int, int]:
        try:
            return os.get_terminal_size(self.fileno)
        except OSError:
            return DEFAULT_SIZE

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


def _accepts_output() -> bool:
    """Whether the terminal has taken most of what was sent; `True` if it is gone, so that nothing waits for it."""
    try:
        return bool(select.select([], [sys.__stderr__], [], 0)[1])
    except (OSError, ValueError):
        return True
