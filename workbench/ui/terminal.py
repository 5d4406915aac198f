"""Check that the terminal is usable at the start, and exit when it hangs up."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import threading
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import TextIO

from workbench.core import paths
from workbench.system import terminal_info

HEADLESS_COMMAND = "workbench train digits-mlp"
POLL_MILLISECONDS = 500
GRACE_SECONDS = 0.5
HUNG_UP = 129


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


def write_traceback() -> Path:
    """Write the traceback of the handled exception to a file in the workbench home; returns its path."""
    log = paths.home() / "screen.log"
    with contextlib.suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc(), encoding="utf-8")
    return log


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
