"""Where a worker crashed, from its exit code and the end of its log."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from workbench.io.file_tail import read_tail

CRASHES = {
    -number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
}
"""Exit codes after which the worker's log ends in a Python stack, written by `faulthandler`."""


def crash_location(log: Path, code: int) -> str:
    """Where the worker crashed, from the stack that `faulthandler` wrote to the log; empty without one."""
    _, crashed, stack = _log_tail(log).rpartition("Fatal Python error")
    frames = re.findall(r'File ".*?([^/"]+)", line (\d+) in (\S+)', stack)[:2]
    if code not in CRASHES or not crashed or not frames:
        return ""
    where = ", called by ".join(f"{name} ({file} line {line})" for file, line, name in frames)
    return f" in {where}; the log has the full stack"


def _log_tail(log: Path) -> str:
    try:
        return read_tail(log, 16_000)[0].decode(errors="replace")
    except OSError:
        return ""
