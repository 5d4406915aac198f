"""Processes, identified by pid *and* start time, so that a reused pid is never confused with an earlier process."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from workbench.io.record_codec import Record
from workbench.system.host import boot_id, host_name


class ProcessId(Record, frozen=True, kw_only=True):
    """The unique identity of a process."""

    host: str = ""
    boot_id: str = ""
    pid: int = 0
    start: int | None = None
    """Start time in clock ticks since boot; `None` where unknown."""


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of workbench; `-P` keeps the current folder out of `sys.path`."""
    return [sys.executable, "-P", "-m", module, *arguments]


def stat_fields(pid: int) -> list[str]:
    """The words of /proc/PID/stat behind the name of the program, from the state on. Raises `OSError`."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def start_ticks(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; 0 where unknown, `None` for a process that has ended."""
    try:
        fields = stat_fields(pid)
    except OSError:
        return _alive_without_proc(pid)
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def parent_pid(pid: int) -> int | None:
    """The pid of a process's parent; `None` where unknown."""
    try:
        return int(stat_fields(pid)[1])
    except (OSError, ValueError, IndexError):
        return None


def command_line(pid: int) -> list[str]:
    """The arguments of a process; empty where unknown."""
    try:
        content = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0")
        return [os.fsdecode(part) for part in content.split(b"\0")] if content else []
    except OSError:
        return []


def is_suspended(pid: int) -> bool:
    """Whether a process is stopped by SIGSTOP or a debugger; false where this is unknown."""
    try:
        return stat_fields(pid)[0] in {"T", "t"}
    except (OSError, IndexError):
        return False


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


def process_age() -> float:
    """Seconds since this process started, including the start of the interpreter; 0 where unknown."""
    start = start_ticks(os.getpid())
    if not start or not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - start / os.sysconf("SC_CLK_TCK"))


def this_process() -> ProcessId:
    """The identity of this process."""
    return ProcessId(host=host_name(), boot_id=boot_id(), pid=os.getpid(), start=start_ticks(os.getpid()))


def is_alive(process: ProcessId) -> bool:
    """Whether `process` is alive on this host; false for processes of other hosts and earlier boots."""
    if process.host != host_name() or process.boot_id != boot_id():
        return False
    start = start_ticks(process.pid)
    return start is not None and start == process.start


def hold_during_forks(mutex: threading.Lock) -> None:
    """Fork this process only while it holds `mutex`, so that no thread that works under it holds another lock then."""
    os.register_at_fork(before=mutex.acquire, after_in_parent=mutex.release, after_in_child=mutex.release)
