"""Output of commands: results on stdout, status and progress on stderr, both sanitized."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from workbench.cli.tables import print_table
from workbench.core import text
from workbench.core.progress import Progress, ProgressCallback
from workbench.core.text import sanitize
from workbench.system.machine_info import DeviceInfo


def print_status(message: str) -> None:
    """Print one line on stderr."""
    print(sanitize(message), file=sys.stderr, flush=True)


def print_result(message: str) -> None:
    """Print one line of a result on stdout."""
    print(sanitize(message))


def print_json(document: object) -> None:
    """Print the JSON document of a command on stdout: a Struct, or JSON values that may contain Structs.

    NaN and infinities become null.
    """
    try:
        encoded = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    except UnicodeEncodeError:  # file names that are not UTF-8
        plain = _without_nonfinite(msgspec.to_builtins(document))
        encoded = json.dumps(plain, indent=2, ensure_ascii=False).encode("utf-8", "replace").decode()
    print(encoded)


def _without_nonfinite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _without_nonfinite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nonfinite(inner) for inner in value]
    return value


def print_devices(rows: Sequence[DeviceInfo]) -> None:
    """Print the devices and which one training uses."""
    print_table(
        ("device", "name", "memory", "free", "load", "training"),
        [
            (row.device, row.name, text.format_bytes(row.memory_total), text.format_bytes(row.memory_free),
             "-" if row.load is None else f"{row.load:.0%}", f"used ({row.reason})" if row.chosen else "")
            for row in rows
        ],
    )  # fmt: skip


def progress_printer() -> ProgressCallback:
    """A callback that shows progress as one updating line on stderr, if that is a terminal."""
    is_terminal = sys.stderr.isatty()

    def show(progress: Progress) -> None:
        if is_terminal:
            clear = "\r\x1b[K" if progress.done == progress.total else ""
            print(
                f"\r\x1b[K{text.truncate(format_progress(progress), 79)}{clear}",
                end="",
                file=sys.stderr,
                flush=True,
            )

    return show


def format_progress(progress: Progress) -> str:
    """`downloading train.gz 12 of 30 MB`."""
    return f"{sanitize(progress.what)} {text.format_progress(progress.done, progress.total, progress.unit)}"
