"""What a run takes of its machine: samples in the journal (`system`), and what they come to."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from workbench.runs.journal import SystemSample
from workbench.system.gpu import list_gpus

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

    def sample(self, attempt: int) -> SystemSample:
        """What the process uses now; what can't be known is `None`."""
        sample = SystemSample(attempt=attempt, cpu=self._cores(), rss=_rss(self._pid))
        gpu = next((gpu for gpu in list_gpus() if gpu.uuid == self._gpu), None) if self._gpu else None
        if gpu is None:
            return sample
        used = gpu.memory_total - gpu.memory_free
        return msgspec.structs.replace(sample, gpu_load=gpu.load, gpu_memory=used, gpu_total=gpu.memory_total)

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


class UsageSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run's samples: means of busy cores and GPU load (0 to 1), the highest memory in bytes."""

    samples: int
    cpu: float | None = None
    gpu_load: float | None = None
    rss: int | None = None
    gpu_memory: int | None = None
    gpu_total: int | None = None


def summarize_usage(samples: Sequence[SystemSample]) -> UsageSummary | None:
    """What a run's samples come to; `None` where there are none."""
    if not samples:
        return None

    def known(name: str) -> list[float]:
        return [value for sample in samples if (value := getattr(sample, name)) is not None]

    means = {
        name: round(sum(values) / len(values), 2) for name in ("cpu", "gpu_load") if (values := known(name))
    }
    most = {name: int(max(values)) for name in ("rss", "gpu_memory", "gpu_total") if (values := known(name))}
    return UsageSummary(len(samples), **means, **most)  # type: ignore[arg-type]
