"""Check that the terminal is usable at the start, and exit when it hangs up."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, TextIO

from workbench.core import paths
from workbench.system import terminal_info

HEADLESS_COMMAND = "workbench train digits-mlp"
POLL_MILLISECONDS = 500
GRACE_SECONDS = 0.5
HUNG_UP = 129
EXIT_SECONDS = 3.0
"""So long the app may take to end after a signal."""
RESET_SEQUENCE = (
    b"\x1b[<u"  # keys as the terminal sent them before
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # mouse
    b"\x1b[?1004l\x1b[?2004l\x1b[?2026l\x1b[?2048l"  # focus, bracketed paste, synchronized output, resize reports
    b"\x1b[?7h\x1b[0m\x1b[?1049l\x1b[?25h"  # wrapping, style, main screen, cursor
)
"""Switches off what the app may have switched on."""


def unusable_reason(streams: list[TextIO | None], environment: Mapping[str, str]) -> str | None:
    """Why the app can't run in this terminal, in one line with the headless command; `None` if it can."""
    if not all(stream is not None and stream.isatty() for stream in streams):
        reason = "the app needs a terminal"
    elif environment.get("TERM", "") in {"", "dumb", "unknown"}:
        reason = f"the app can't draw on a terminal of type '{environment.get('TERM', '')}'"
    else:
        return None
    return f"{reason}; without one, run: {HEADLESS_COMMAND}"


def use_utf8() -> None:
    """Write UTF-8 whatever the locale is (`LANG=C` on a UTF-8 terminal is common over SSH)."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")


def drop_exported_size(environment: MutableMapping[str, str]) -> None:
    """Remove `COLUMNS` and `LINES`: exported by a parent (as readline does), they hide later size changes."""
    for name in ("COLUMNS", "LINES"):
        environment.pop(name, None)


def set_no_color(environment: MutableMapping[str, str]) -> None:
    """Set `NO_COLOR` for a terminal without colors: what colors would show gets attributes or characters then."""
    if terminal_info.color_count(environment) == 0:
        environment.setdefault("NO_COLOR", "1")


def write_traceback(traceback: str) -> Path:
    """Write the traceback of an exception to a file in the workbench home; returns its path."""
    log = paths.home() / "screen.log"
    with contextlib.suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback, encoding="utf-8")
    return log


def exit_on_signals(exit_app: Callable[[], object]) -> None:
    """End the app in an orderly way at SIGTERM, SIGHUP and SIGQUIT; a hung one is ended after `EXIT_SECONDS`.

    Either way, everything that was switched on in the terminal is switched off.
    """
    settings = termios.tcgetattr(sys.stdin.fileno())

    def handle(number: int, _frame: object) -> None:
        timer = threading.Timer(EXIT_SECONDS, _force_exit, (settings, 128 + number))
        timer.daemon = True
        timer.start()
        exit_app()

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, handle)


def _force_exit(settings: list[Any], code: int) -> None:
    with contextlib.suppress(OSError, termios.error):
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, RESET_SEQUENCE)
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, settings)
    os._exit(code)


def exit_on_hangup(descriptor: int, on_hangup: Callable[[], None]) -> threading.Thread:
    """Start a thread that ends this process soon after the terminal at `descriptor` hangs up.

    Textual would keep running without a terminal: it reads a closed stdin in a tight loop.
    `on_hangup` is called first; it has `GRACE_SECONDS`.
    """
    thread = threading.Thread(target=_watch, args=(descriptor, on_hangup), name="terminal", daemon=True)
    thread.start()
    return thread


def _watch(descriptor: int, on_hangup: Callable[[], None]) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)  # hang-ups and errors are always reported
    while not (poll.poll(POLL_MILLISECONDS) and is_dead(descriptor)):
        continue
    callback = threading.Thread(target=_call, args=(on_hangup,), daemon=True)
    callback.start()
    callback.join(GRACE_SECONDS)
    os._exit(HUNG_UP)


def _call(on_hangup: Callable[[], None]) -> None:
    with contextlib.suppress(Exception):
        on_hangup()


def is_dead(descriptor: int) -> bool:
    """Whether a terminal for which `poll` reports an error is gone (macOS can't poll terminals: always an error)."""
    try:
        termios.tcgetattr(descriptor)
    except (termios.error, OSError):
        return True
    time.sleep(POLL_MILLISECONDS / 1000)
    return False
