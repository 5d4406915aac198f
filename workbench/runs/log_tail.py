"""The end of a run's log."""

from __future__ import annotations

from pathlib import Path

from workbench.core.text import sanitize
from workbench.io.file_tail import read_tail

MAX_REASON = 200
"""Characters of a line of the log that are quoted."""
TAIL_BYTES = 128 << 10
MAX_LINES = 2000


def read_log_tail(path: Path) -> list[str]:
    """The last lines of a log, sanitized; of a progress bar (rewritten with `\\r`), its last state.

    At most `MAX_LINES` of the last `TAIL_BYTES`. Raises `OSError`.
    """
    data, is_cut = read_tail(path, TAIL_BYTES)
    lines = data.decode("utf-8", "replace").rstrip("\n").split("\n")
    if is_cut:
        lines = lines[1:]
    return [sanitize(line.rstrip("\r").rpartition("\r")[2]) for line in lines[-MAX_LINES:]] if data else []


def last_log_line(path: Path) -> str:
    """The last line of a log that is not empty, to be appended to the reason of an end: `: LINE`, or nothing."""
    try:
        lines = read_log_tail(path)
    except OSError:
        return ""
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {last[:MAX_REASON]}" if last else ""
