"""How many cores there are to work with, and whether others work with them too."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy() -> bool:
    """Whether others want the cores too: fewer than three quarters of those this process may use are idle.

    By the load of the last minute, or what wants to run just now where that is more.
    """
    idle = (os.cpu_count() or 1) - max(_load(), _running() - 1)
    return idle < 0.75 * usable_cores()


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return 0.0


def _running() -> int:
    """Threads of this host that run or want to, this one among them; 1 where that is unknown."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return 1
