"""Whether there is a terminal to draw on, and whether it is still there."""

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

HEADLESS = "workbench train digits-mlp"
POLL_MILLISECONDS = 500
GRACE_SECONDS = 0.5
HUNG_UP = 129


def complaint(streams: list[TextIO | None], environment: Mapping[str, str]) -> str | None:
    """Why the screen can't open here, in one line that names the headless way; `None` where it can."""
    if not all(stream is not None and stream.isatty() for stream in streams):
        why = "the screen needs a terminal"
    elif environment.get("TERM", "") in {"", "dumb", "unknown"}:
        why = f"the screen can't be drawn on a terminal of type '{environment.get('TERM', '')}'"
    else:
        return None
    return f"{why}; without one: {HEADLESS}"


def speak_utf8() -> None:
    """Send UTF-8 whatever the locale says (`LANG=C` on a terminal that can do more is common over SSH)."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")


def forget_exported_size(environment: MutableMapping[str, str]) -> None:
    """Let the size be the terminal's own: `COLUMNS` and `LINES` of a parent (readline exports them) go stale."""
    for name in ("COLUMNS", "LINES"):
        environment.pop(name, None)


def keep_traceback() -> Path:
    """Write the error that is being handled to a file in the home; where that is."""
    log = paths.home() / "screen.log"
    with contextlib.suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc(), encoding="utf-8")
    return log


def watch(descriptor: int, farewell: Callable[[], None]) -> threading.Thread:
    """End this process soon after the terminal at `descriptor` hangs up, whatever else it is doing.

    Without it the screen would go on with nobody there: Textual reads a dead stdin in a tight loop.
    `farewell` is called first; it has `GRACE_SECONDS`.
    """
    thread = threading.Thread(target=_watch, args=(descriptor, farewell), name="terminal", daemon=True)
    thread.start()
    return thread


def _watch(descriptor: int, farewell: Callable[[], None]) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)  # hang-ups and errors are told unasked
    while not (poll.poll(POLL_MILLISECONDS) and is_dead(descriptor)):
        continue
    end = threading.Thread(target=_say_farewell, args=(farewell,), daemon=True)
    end.start()
    end.join(GRACE_SECONDS)
    os._exit(HUNG_UP)


def _say_farewell(farewell: Callable[[], None]) -> None:
    with contextlib.suppress(Exception):
        farewell()


def is_dead(descriptor: int) -> bool:
    """Whether a terminal that `poll` complains about is gone (macOS can't poll terminals, and complains always)."""
    try:
        termios.tcgetattr(descriptor)
    except (termios.error, OSError):
        return True
    time.sleep(POLL_MILLISECONDS / 1000)
    return False
