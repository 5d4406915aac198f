"""Resource usage of a run: samples in the journal (kind `system`), and their summary."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from workbench.runs.journal import SystemSample
from workbench.system.gpu import list_gpus

SAMPLE_SECONDS = 60.0
FIRST_SAMPLE_SECONDS = 10.0
"""Initial interval between samples, and the delay of the first one of an attempt, in seconds."""
DOUBLE_INTERVAL_AFTER = 250
MAX_SAMPLES = 2000
"""Number of samples after which the interval doubles, and the maximum of a run (six weeks)."""


def sample_interval(samples: int) -> float | None:
    """Seconds to the next sample of a run that has `samples`; `None` at the maximum."""
    return None if samples >= MAX_SAMPLES else SAMPLE_SECONDS * 2.0 ** (samples // DOUBLE_INTERVAL_AFTER)


class UsageSampler:
    """Samples the usage of one process and of its GPU (by UUID; `None` on the CPU)."""

    def __init__(self, pid: int, gpu: str | None) -> None:
        self._pid, self._gpu = pid, gpu
        self._before = (time.monotonic(), _cpu_seconds(pid))

    def sample(self, attempt: int) -> SystemSample:
        """The usage since the previous sample; unknown values are `None`."""
        sample = SystemSample(attempt=attempt, cpu=self._cores(), rss=_rss(self._pid))
        gpu = next((gpu for gpu in list_gpus() if gpu.uuid == self._gpu), None) if self._gpu else None
        if gpu is None:
            return sample
        used = gpu.memory_total - gpu.memory_free
        return msgspec.structs.replace(sample, gpu_load=gpu.load, gpu_memory=used, gpu_total=gpu.memory_total)

    def _cores(self) -> float | None:
        now = (time.monotonic(), _cpu_seconds(self._pid))
        (time_before, cpu_before), self._before = self._before, now
        if cpu_before is None or now[1] is None or now[0] <= time_before:
            return None
        return round(max(0.0, now[1] - cpu_before) / (now[0] - time_before), 2)


def _cpu_seconds(pid: int) -> float | None:
    """CPU time of a process in seconds; `None` without /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss(pid: int) -> int | None:
    """Resident memory of a process in bytes; `None` without /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


class UsageSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """Summary of the samples of a run: mean busy cores and GPU load (0 to 1), maximum memory in bytes."""

    samples: int
    cpu: float | None = None
    gpu_load: float | None = None
    rss: int | None = None
    gpu_memory: int | None = None
    gpu_total: int | None = None


def summarize_usage(samples: Sequence[SystemSample]) -> UsageSummary | None:
    """The summary of the samples of a run; `None` without any."""
    if not samples:
        return None

    def known(name: str) -> list[float]:
        return [value for sample in samples if (value := getattr(sample, name)) is not None]

    means = {
        name: round(sum(values) / len(values), 2) for name in ("cpu", "gpu_load") if (values := known(name))
    }
    maxima = {
        name: int(max(values)) for name in ("rss", "gpu_memory", "gpu_total") if (values := known(name))
    }
    return UsageSummary(len(samples), **means, **maxima)  # type: ignore[arg-type]
