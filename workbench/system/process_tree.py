"""A process and all that it starts: adopting orphans, and ending every descendant. Only on Linux."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path

from workbench.system.processes import parent_pid, start_ticks

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
TERMINATION_SECONDS = 2.0
POLL_SECONDS = 0.02


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parents end, so that it can find them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends; for a child, before it runs a program."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """The pids of all living processes below a process."""
    children = defaultdict(list)
    for entry in Path("/proc").glob("[0-9]*"):
        if (parent := parent_pid(int(entry.name))) is not None:
            children[parent].append(int(entry.name))
    found: list[int] = []
    level = [pid]
    while level:
        level = [child for parent in level for child in children[parent]]
        found += level
    return [pid for pid in found if start_ticks(pid) is not None]


def end_descendants(seconds: float = TERMINATION_SECONDS) -> None:
    """Send all descendants of this process SIGTERM, and SIGKILL to those that still live after `seconds`."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + seconds
        _signal_all(descendants(os.getpid()), number)
        while descendants(os.getpid()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
