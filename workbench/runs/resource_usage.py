"""Resource usage of a run: samples in the journal (kind `system`), and their summary."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from workbench.runs.journal import GpuSample, SystemSample
from workbench.system.gpu import list_gpus
from workbench.system.machine_load import busy_share, rate, read_load
from workbench.system.memory import host_memory
from workbench.system.nvml import Gpu
from workbench.system.process_tree import descendants

SAMPLE_SECONDS = 10.0
FIRST_SAMPLE_SECONDS = 5.0
"""Initial interval between samples, and the delay of the first one of an attempt, in seconds."""
DOUBLE_INTERVAL_AFTER = 120
MAX_SAMPLES = 1440
"""Number of samples after which the interval doubles, and the maximum of a run (eight weeks, about 400 kB)."""


def sample_interval(samples: int) -> float | None:
    """Seconds to the next sample of a run that has `samples`; `None` at the maximum."""
    return None if samples >= MAX_SAMPLES else SAMPLE_SECONDS * 2.0 ** (samples // DOUBLE_INTERVAL_AFTER)


class UsageSampler:
    """Samples the usage of a process with all that it has started, and of its machine.

    `gpu`: the UUID of its GPU; `None` for a process that uses none, or all of them if `all_gpus`.
    """

    def __init__(self, pid: int, gpu: str | None, *, all_gpus: bool = False) -> None:
        self._pid, self._gpu, self._all_gpus = pid, gpu, all_gpus
        self._before = (time.monotonic(), _cpu_seconds([pid]))
        self._load = read_load()

    def sample(self, attempt: int, step: int | None = None) -> SystemSample:
        """The usage since the previous sample, after `step`; unknown values are `None`."""
        gpus = (
            [gpu for gpu in list_gpus() if self._all_gpus or gpu.uuid == self._gpu] if self._uses_gpus else []
        )
        own = next((gpu for gpu in gpus if gpu.uuid == self._gpu), None)
        before, now = self._load, read_load()
        self._load, seconds = now, now.time - before.time
        pids, share, (total, free) = (
            [self._pid, *descendants(self._pid)],
            busy_share(before, now),
            host_memory(),
        )
        return SystemSample(
            attempt=attempt,
            step=step,
            cpu=self._cores(pids),
            rss=_rss(pids),
            gpu_load=own.load if own else None,
            gpu_memory=own.memory_total - own.memory_free if own else None,
            gpu_total=own.memory_total if own else None,
            machine_cpu=None if share is None else round(share, 3),
            machine_memory=None if total is None or free is None else total - free,
            disk_read=_rounded(rate(before.disk_read, now.disk_read, seconds)),
            disk_write=_rounded(rate(before.disk_written, now.disk_written, seconds)),
            network_in=_rounded(rate(before.received, now.received, seconds)),
            network_out=_rounded(rate(before.sent, now.sent, seconds)),
            gpus=tuple(_gpu_sample(gpu) for gpu in gpus),
        )

    @property
    def _uses_gpus(self) -> bool:
        return self._all_gpus or self._gpu is not None

    def _cores(self, pids: Sequence[int]) -> float | None:
        now = (time.monotonic(), _cpu_seconds(pids))
        (time_before, cpu_before), self._before = self._before, now
        busy = rate(cpu_before, now[1], now[0] - time_before)
        return None if busy is None else round(busy, 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value)


def _gpu_sample(gpu: Gpu) -> GpuSample:
    used, temperature = gpu.memory_total - gpu.memory_free, gpu.temperature
    return GpuSample(index=gpu.index, load=gpu.load, memory=used, power=gpu.power, temperature=temperature)


def _cpu_seconds(pids: Sequence[int]) -> float | None:
    """CPU time in seconds of processes, and of their children that have ended; `None` without /proc."""
    ticks = [
        sum(map(int, fields[11:15])) for pid in pids if len(fields := _proc_fields(pid, "stat", ")")) > 14
    ]
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None


def _rss(pids: Sequence[int]) -> int | None:
    """Resident memory of processes in bytes; `None` without /proc. What they share counts for each of them.

    `None` too where all have ended: a zombie has a file, and no memory.
    """
    pages = sum(int(fields[1]) for pid in pids if len(fields := _proc_fields(pid, "statm")) > 1)
    return pages * os.sysconf("SC_PAGE_SIZE") or None


def _proc_fields(pid: int, name: str, after: str = "") -> list[str]:
    """The words of a file in /proc, after the last `after`; empty for a process that has ended."""
    try:
        content = Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return []
    return (content.rpartition(after)[2] if after else content).split()


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
