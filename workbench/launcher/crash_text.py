"""Why a worker died, in one line, from its exit code and the end of its log."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from workbench.io.file_tail import read_tail

CRASHES = {
    -number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
}
"""Exit codes after which the worker's log ends in a Python stack, written by `faulthandler`."""


def describe_exit(code: int) -> str:
    """How a worker ended that has not said why, by its exit code, or minus the number of the signal that killed it."""
    if code >= 0:
        return f"the worker exited with code {code}, no error message"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory? see dmesg)" if name == "SIGKILL" else ""
    return f"the worker was killed by {name}{hint}"


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
