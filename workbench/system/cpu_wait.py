"""How long a thread waits for a processor because other processes use it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from workbench.system.machine_load import rate, read_load

MIN_OTHER_CORES = 0.25
"""Other processes that use less than this do not count: what a thread waits for then is its own process or quota."""


@dataclass(frozen=True)
class _Reading:
    time: float
    """Seconds, monotonic."""
    waited: float
    """Seconds in which this thread was runnable and did not run."""
    others: float | None
    """Processor seconds of all other processes of the machine; `None` where unknown."""


class CpuWait:
    """Measures, from its creation on, how long the thread that created it waits for a processor."""

    def __init__(self) -> None:
        self._start = _read()

    def seconds(self) -> float:
        """The seconds so far; 0.0 where no other process computes, and where the system does not tell.

        Must be called in the same thread.
        """
        now = _read()
        elapsed = now.time - self._start.time
        cores = rate(self._start.others, now.others, elapsed)
        if cores is None or cores < MIN_OTHER_CORES:
            return 0.0
        return min(max(0.0, now.waited - self._start.waited), elapsed)


def _read() -> _Reading:
    busy = read_load().busy
    others = None if busy is None else busy / os.sysconf("SC_CLK_TCK") - time.process_time()
    return _Reading(time.monotonic(), _waited(), others)


def _waited() -> float:
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):  # another system, or a kernel without it
        return 0.0
