"""Output of commands: results on stdout, progress on stderr, text from outside sanitized."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from workbench.cli.tables import print_table
from workbench.core import text
from workbench.core.progress import Progress, Report
from workbench.core.text import safe
from workbench.system.machine_info import DeviceInfo


def say(line: str) -> None:
    """One line for a person, on stderr."""
    print(safe(line), file=sys.stderr, flush=True)


def tell(line: str) -> None:
    """One line of a result, on stdout."""
    print(safe(line))


def print_json(document: object) -> None:
    """The one JSON document of a command, on stdout: a Struct, or JSON values that may contain Structs.

    NaN and infinities become null: JSON has no others.
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
    """The devices, and which one training takes."""
    print_table(
        ("device", "name", "memory", "free", "load", "training"),
        [
            (row.device, row.name, text.size(row.memory_total), text.size(row.memory_free),
             "-" if row.load is None else f"{row.load:.0%}", f"takes it: {row.why}" if row.chosen else "")
            for row in rows
        ],
    )  # fmt: skip


def progress_printer() -> Report:
    """Shows a long step's progress as one moving line on stderr, where that is a terminal."""
    moving = sys.stderr.isatty()

    def show(progress: Progress) -> None:
        if moving:
            over = "\r\x1b[K" if progress.done == progress.total else ""
            print(
                f"\r\x1b[K{text.cut(_progress_words(progress), 79)}{over}",
                end="",
                file=sys.stderr,
                flush=True,
            )

    return show


def _progress_words(progress: Progress) -> str:
    return f"{safe(progress.what)} {text.amount(progress.done, progress.total, progress.unit)}"
