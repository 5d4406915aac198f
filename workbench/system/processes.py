"""Processes by pid *and* start time, so that a recycled pid is never taken for the one that was meant."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from workbench.io.record_codec import Record
from workbench.system.host import boot_id, host


class ProcessId(Record, frozen=True, kw_only=True):
    """A process, told apart from every other that has or had its pid."""

    host: str = ""
    boot_id: str = ""
    pid: int = 0
    start: int | None = None
    """Clock ticks since boot at its start; `None` where the system does not tell."""


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules; files in the folder it is started in are never taken for code."""
    return [sys.executable, "-P", "-m", module, *arguments]


def start_of(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (Linux), 0 where it lives but that is unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _alive_without_proc(pid)
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def _alive_without_proc(pid: int) -> int | None:
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0


def age() -> float:
    """Seconds since this process started, its interpreter's start included; 0 where that is unknown."""
    start = start_of(os.getpid())
    if not start or not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - start / os.sysconf("SC_CLK_TCK"))


def this_process() -> ProcessId:
    """What tells this process apart from every other."""
    return ProcessId(host=host(), boot_id=boot_id(), pid=os.getpid(), start=start_of(os.getpid()))


def alive(process: ProcessId) -> bool:
    """Whether a process that `this_process` described is alive on this host."""
    if process.host != host() or process.boot_id != boot_id():
        return False
    start = start_of(process.pid)
    return start is not None and start == process.start
