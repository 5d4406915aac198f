"""Output of commands: results on stdout, status and progress on stderr, both sanitized."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from workbench.cli.result_stream import result_stream
from workbench.cli.tables import print_table
from workbench.core import text
from workbench.core.progress import Progress, ProgressCallback
from workbench.core.text import sanitize
from workbench.system.devices import DeviceInfo, device_state

FALLBACK_WIDTH = 80
"""Cells of a terminal that does not tell its size."""
ACTIVITY_DELAY = 0.5


def print_status(message: str) -> None:
    """Print one line on stderr; a terminal that has hung up is ignored."""
    with contextlib.suppress(OSError):
        print(sanitize(message), file=sys.stderr, flush=True)


def terminal_width() -> int:
    """The cells that one line on the terminal of stderr can have without wrapping."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return (columns or FALLBACK_WIDTH) - 1


def show_line(line: str) -> None:
    """Replace the progress line on the terminal of stderr."""
    with contextlib.suppress(OSError):
        print(f"\r\x1b[K{text.truncate(line, terminal_width())}", end="", file=sys.stderr, flush=True)


def clear_line() -> None:
    """Remove the progress line."""
    show_line("")


@contextlib.contextmanager
def activity(what: str) -> Iterator[None]:
    """While the block runs, show `what` with a running clock on stderr, if that is a terminal and it takes a while."""
    if not sys.stderr.isatty():
        yield
        return
    ended, start = threading.Event(), time.monotonic()

    def run() -> None:
        shown, wait = False, ACTIVITY_DELAY
        while not ended.wait(wait):
            show_line(f"{what}  {text.format_duration(time.monotonic() - start)}")
            shown, wait = True, 1.0
        if shown:
            clear_line()

    thread = threading.Thread(target=run, name="activity", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def print_result(message: str) -> None:
    """Print one line of a result on stdout."""
    print(sanitize(message), file=result_stream())


def print_json(document: object) -> None:
    """Print the JSON document of a command on stdout: a Struct, or JSON values that may contain Structs.

    NaN and infinities become null.
    """
    try:
        encoded = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    except UnicodeEncodeError:  # file names that are not UTF-8
        plain = _without_nonfinite(msgspec.to_builtins(document))
        encoded = json.dumps(plain, indent=2, ensure_ascii=False).encode("utf-8", "replace").decode()
    print(encoded, file=result_stream())


def _without_nonfinite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _without_nonfinite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nonfinite(inner) for inner in value]
    return value


def print_devices(rows: Sequence[DeviceInfo]) -> None:
    """Print the devices by the names that `--device` accepts, and which one training uses."""
    print_table(
        ("device", "name", "memory", "free", "load", "uuid", "training"),
        [
            (row.device, row.name, text.format_bytes(row.memory_total), text.format_bytes(row.memory_free),
             "-" if row.load is None else f"{row.load:.0%}", row.uuid or "", _training_cell(row))
            for row in rows
        ],
        droppable=("uuid",),
    )  # fmt: skip


def _training_cell(row: DeviceInfo) -> str:
    """Whether training uses a device, and why not."""
    if row.hidden:
        return "hidden"
    used = f"used ({row.reason})" if row.chosen else ""
    return "; ".join(part for part in (used, device_state(row)) if part)


def progress_printer() -> ProgressCallback:
    """A callback that shows progress, with a clock, as one updating line on stderr, if that is a terminal."""
    is_terminal = sys.stderr.isatty()
    shown, since = "", 0.0

    def show(progress: Progress) -> None:
        nonlocal shown, since
        if not is_terminal:
            return
        if progress.what != shown:
            shown, since = progress.what, time.monotonic()
        seconds = time.monotonic() - since
        clock = f"  {text.format_duration(seconds)}" if seconds >= 1 else ""
        show_line("" if progress.done == progress.total else format_progress(progress) + clock)

    return show


def format_progress(progress: Progress) -> str:
    """`downloading train.gz 12 of 30 MB`; only what is done where there is nothing to count."""
    counted = progress.done or progress.total
    count = f" {text.format_progress(progress.done, progress.total, progress.unit)}" if counted else ""
    return sanitize(progress.what) + count
