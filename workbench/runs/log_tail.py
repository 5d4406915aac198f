"""The end of a run's log."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.core.text import sanitize

TAIL_BYTES = 128 << 10
MAX_LINES = 2000


def read_log_tail(path: Path) -> list[str]:
    """The last lines of a log, sanitized; of a progress bar (rewritten with `\\r`), its last state.

    At most `MAX_LINES` of the last `TAIL_BYTES`. Raises `OSError`.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        data = file.read(TAIL_BYTES)
    lines = data.decode("utf-8", "replace").rstrip("\n").split("\n")
    if size > TAIL_BYTES:
        lines = lines[1:]
    return [sanitize(line.rstrip("\r").rpartition("\r")[2]) for line in lines[-MAX_LINES:]] if data else []
