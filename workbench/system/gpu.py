"""NVIDIA's GPUs as their driver sees them: by UUID, with memory, load and processes; no torch, no CUDA context."""

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
    """Its number by PCI order, which need not be CUDA's."""
    uuid: str
    """`GPU-…`, as CUDA_VISIBLE_DEVICES takes it."""
    name: str
    memory_total: int
    memory_free: int
    load: float | None = None
    processes: int = 0
    """Processes that compute on it."""

    @property
    def idle(self) -> bool:
        """Whether nobody computes on it."""
        return self.processes == 0 and (self.load or 0.0) < IDLE_LOAD


def list_gpus() -> list[Gpu]:
    """Every GPU the driver knows, by PCI order; empty where there is no NVIDIA driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        found = [_describe(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [gpu for gpu in found if gpu is not None]
    except pynvml.NVMLError:
        return []
    finally:
        _query(pynvml.nvmlShutdown)


def choose_gpu(gpus: Sequence[Gpu] | None = None) -> Gpu | None:
    """The GPU a new run should take: idle ones first, then least loaded, then most free memory."""
    candidates = list_gpus() if gpus is None else gpus
    return min(
        candidates,
        key=lambda g: (not g.idle, round(g.load or 0.0, 1), -g.memory_free, g.index),
        default=None,
    )


def _describe(index: int) -> Gpu | None:
    """A GPU by its number; `None` where it fell off the bus."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
    except pynvml.NVMLError:
        return None
    load = _query(pynvml.nvmlDeviceGetUtilizationRates, handle)
    processes = _query(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or ()
    return Gpu(
        index=index,
        uuid=_text(uuid),
        name=_text(name),
        memory_total=int(memory.total),
        memory_free=int(memory.free),
        load=None if load is None else load.gpu / 100,
        processes=len(processes),
    )


def _query(query: Callable[..., Any], *arguments: Any) -> Any:
    """The driver's answer, `None` where this GPU does not give one (virtual and consumer GPUs leave some out)."""
    try:
        return query(*arguments)
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
