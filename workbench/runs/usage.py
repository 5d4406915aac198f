"""What a run takes of its machine: samples in the journal (`system`), and what they come to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workbench.runs.gpus import list_gpus
from workbench.runs.records import number

EVERY = 60.0
FIRST = 10.0
"""Seconds between samples in the beginning, and before the first of an attempt."""
DOUBLED_AFTER = 250
MOST = 2000
"""Samples after which the time between them doubles; and the most that a run ever has (six weeks)."""


def interval(samples: int) -> float | None:
    """Seconds to the next sample of a run that has so many; `None`: no more."""
    return None if samples >= MOST else EVERY * 2.0 ** (samples // DOUBLED_AFTER)


class Usage:
    """Samples one process and the GPU it was given (by UUID, `None` for the CPU)."""

    def __init__(self, pid: int, gpu: str | None) -> None:
        self._pid, self._gpu = pid, gpu
        self._before = (time.monotonic(), _cpu_seconds(pid))

    def sample(self) -> dict[str, Any]:
        """`cpu` (cores busy since the sample before), `rss` (bytes), `gpu_load` (0 to 1), `gpu_memory` and
        `gpu_total` (bytes, of all processes there). What can't be known is left out.
        """
        found: dict[str, Any] = {"cpu": self._cores(), "rss": _rss(self._pid)}
        for gpu in list_gpus() if self._gpu else ():
            if gpu.uuid == self._gpu:
                used = gpu.memory_total - gpu.memory_free
                found |= {"gpu_load": gpu.load, "gpu_memory": used, "gpu_total": gpu.memory_total}
        return {name: value for name, value in found.items() if value is not None}

    def _cores(self) -> float | None:
        now = (time.monotonic(), _cpu_seconds(self._pid))
        (then, before), self._before = self._before, now
        if before is None or now[1] is None or now[0] <= then:
            return None
        return round(max(0.0, now[1] - before) / (now[0] - then), 2)


def _cpu_seconds(pid: int) -> float | None:
    """Processor time of a process, where /proc tells."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss(pid: int) -> int | None:
    """Bytes of memory a process has, where /proc tells."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def summed_up(journal: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """A run's samples: how many, means of `cpu` and `gpu_load`, the highest `rss` and `gpu_memory`, `gpu_total`."""
    samples = [record for record in journal if record.get("kind") == "system"]
    if not samples:
        return None
    known = {
        name: [value for record in samples if (value := number(record.get(name))) is not None]
        for name in ("cpu", "rss", "gpu_load", "gpu_memory", "gpu_total")
    }
    means = {
        name: round(sum(known[name]) / len(known[name]), 2) for name in ("cpu", "gpu_load") if known[name]
    }
    most = {name: int(max(known[name])) for name in ("rss", "gpu_memory", "gpu_total") if known[name]}
    return {"samples": len(samples), **means, **most}
