"""The NVIDIA driver's answer about its GPUs, by NVML; without torch and CUDA contexts, and within a time limit.

A driver can hang for minutes, so it is asked by a thread of its own: callers wait `TIME_LIMIT` at most, and while a
query hangs, no other one is started and no caller waits for it again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import Enum
from importlib import import_module

TIME_LIMIT = 1.5
"""Seconds to wait for the driver."""


class DriverState(Enum):
    """What came of a query."""

    READY = "ready"
    MISSING = "missing"
    """There is no NVIDIA driver."""
    FAILED = "failed"
    SILENT = "silent"
    """It did not respond in time."""


@dataclass(frozen=True)
class Gpu:
    """One GPU or MIG slice; memory in bytes, load from 0 to 1. `None`: the driver does not report it."""

    index: int
    """The index of the GPU in PCI order, which may differ from CUDA's order."""
    uuid: str
    """`GPU-…` or `MIG-…`, as accepted in `CUDA_VISIBLE_DEVICES`."""
    name: str
    memory_total: int
    memory_free: int
    load: float | None = None
    pids: tuple[int, ...] = ()
    """Compute processes, in the host's pid namespace."""
    temperature: int | None = None
    """°C."""
    power: float | None = None
    """Watts."""
    speed: int = 0
    """An estimate of the arithmetic throughput, to order GPUs of different models; 0 if unknown."""
    is_partitioned: bool = False
    """Whether MIG mode is on: CUDA then uses its slices only."""
    parent: str = ""
    """Of a MIG slice: the UUID of its GPU."""
    instance: str = ""
    """Of a MIG slice: its name in older drivers, `MIG-GPU-UUID/GPU_INSTANCE/COMPUTE_INSTANCE`."""


@dataclass(frozen=True)
class DriverReport:
    """The GPUs in PCI order, each followed by its MIG slices."""

    state: DriverState
    gpus: tuple[Gpu, ...] = ()
    problem: str = ""
    """What is wrong with the driver or a GPU, in one line; empty if nothing is."""
    cuda: str | None = None
    """The newest CUDA version that the driver supports (`12.8`)."""


class _Query:
    """One query, in a thread that may hang."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.report: DriverReport | None = None
        self.done = threading.Event()
        threading.Thread(target=self._run, name="nvml", daemon=True).start()

    def _run(self) -> None:
        try:
            # Imported here: the first frame of the screen does not wait for the library.
            self.report = import_module("workbench.system.nvml_driver").read_report()
        except (
            Exception
        ) as error:  # a driver library that lacks functions or returns nonsense must not end a run
            self.report = DriverReport(DriverState.FAILED, problem=f"the NVIDIA driver fails: {error}")
        finally:
            self.done.set()


_lock = threading.Lock()
_pending: _Query | None = None


def query_driver() -> DriverReport:
    """The current state of the GPUs. Waits at most `TIME_LIMIT` seconds."""
    global _pending  # noqa: PLW0603
    with _lock:
        if _pending is None or _pending.done.is_set():
            _pending = _Query()
        query = _pending
    query.done.wait(max(0.0, query.started + TIME_LIMIT - time.monotonic()))
    if query.report is None:
        return DriverReport(
            DriverState.SILENT,
            problem=f"the NVIDIA driver does not respond within {TIME_LIMIT:g} s (does nvidia-smi?)",
        )
    return query.report


def driver_is_silent() -> bool:
    """Whether a query of this process hangs."""
    with _lock:
        query = _pending
    return query is not None and not query.done.is_set() and time.monotonic() >= query.started + TIME_LIMIT
