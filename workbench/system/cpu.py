"""CPU cores: how many this process may use, and whether other processes compete for them."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores() -> int:
    """Number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_are_contended() -> bool:
    """Whether fewer than three quarters of the cores that this process may use are idle.

    By the load average of the last minute, or the number of runnable threads now where that is higher.
    """
    idle = (os.cpu_count() or 1) - max(_load(), _running() - 1)
    return idle < 0.75 * usable_cores()


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return 0.0


def _running() -> int:
    """Runnable threads of this host, including this one; 1 where unknown."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return 1
