"""NVIDIA GPUs, by their driver: UUID, memory, load and processes; without torch and CUDA contexts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pynvml

IDLE_LOAD = 0.10
"""Utilisation under which a GPU counts as idle."""


@dataclass(frozen=True)
class Gpu:
    """One GPU; memory in bytes, load from 0 to 1 (`None` where the driver does not report it)."""

    index: int
    """Its index in PCI order, which may differ from CUDA's order."""
    uuid: str
    """`GPU-…`, as accepted in `CUDA_VISIBLE_DEVICES`."""
    name: str
    memory_total: int
    memory_free: int
    load: float | None = None
    processes: int = 0
    """Number of compute processes."""

    @property
    def idle(self) -> bool:
        """Whether no process computes on it."""
        return self.processes == 0 and (self.load or 0.0) < IDLE_LOAD


def list_gpus() -> list[Gpu]:
    """All GPUs known to the driver, in PCI order; empty without an NVIDIA driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        gpus = [_query_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [gpu for gpu in gpus if gpu is not None]
    except pynvml.NVMLError:
        return []
    finally:
        _call_driver(pynvml.nvmlShutdown)


def choose_gpu(gpus: Sequence[Gpu] | None = None) -> Gpu | None:
    """The GPU for a new run: idle ones first, then the least loaded, then the one with most free memory."""
    candidates = list_gpus() if gpus is None else gpus
    return min(
        candidates,
        key=lambda g: (not g.idle, round(g.load or 0.0, 1), -g.memory_free, g.index),
        default=None,
    )


def _query_gpu(index: int) -> Gpu | None:
    """A GPU by its index; `None` where the driver has lost it."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
    except pynvml.NVMLError:
        return None
    load = _call_driver(pynvml.nvmlDeviceGetUtilizationRates, handle)
    processes = _call_driver(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or ()
    return Gpu(
        index=index,
        uuid=_text(uuid),
        name=_text(name),
        memory_total=int(memory.total),
        memory_free=int(memory.free),
        load=None if load is None else load.gpu / 100,
        processes=len(processes),
    )


def _call_driver(query: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a driver query; `None` where this GPU does not support it (some virtual and consumer GPUs)."""
    try:
        return query(*arguments)
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
