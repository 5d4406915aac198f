"""The NVIDIA driver's answer about its GPUs, by NVML; without torch and CUDA contexts, and within a time limit.

A driver can hang for minutes, so it is asked by a thread of its own: callers wait `TIME_LIMIT` at most, and while a
query hangs, no other one is started and no caller waits for it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pynvml

TIME_LIMIT = 1.5
"""Seconds to wait for the driver."""

_NO_DRIVER = {6, 9, 12}
"""Errors of a machine without an NVIDIA driver or GPU: not found, driver not loaded, library not found."""
_TEMPERATURE_GPU, _CLOCK_SM = 0, 1


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
            self.report = _read_report()
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


def _read_report() -> DriverReport:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return _failure(error)
    try:
        lost: list[str] = []
        gpus = [gpu for index in range(pynvml.nvmlDeviceGetCount()) for gpu in _query_gpu(index, lost)]
        return DriverReport(DriverState.READY, tuple(gpus), "; ".join(lost), _driver_cuda())
    except pynvml.NVMLError as error:
        return _failure(error)
    finally:
        _ask("nvmlShutdown")


def _failure(error: Any) -> DriverReport:
    if error.value in _NO_DRIVER:
        return DriverReport(DriverState.MISSING)
    reason = str(error).rstrip(".")
    return DriverReport(
        DriverState.FAILED, problem=f"the NVIDIA driver fails: {reason}; reload it or restart the host"
    )


def _driver_cuda() -> str | None:
    number = _ask("nvmlSystemGetCudaDriverVersion_v2")
    return None if number is None else f"{number // 1000}.{number % 1000 // 10}"


def _query_gpu(index: int, lost: list[str]) -> Iterator[Gpu]:
    """A GPU and its MIG slices. One that the driver has lost is named in `lost` instead."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        mode = _ask("nvmlDeviceGetMigMode", handle)
        partitioned = bool(mode and mode[0] == 1)
        whole = _read_gpu(handle, index, is_partitioned=partitioned, speed=_speed(handle))
    except pynvml.NVMLError as error:
        lost.append(f"GPU {index} in PCI order fails: {error}")
        return
    yield whole
    for place in range(_ask("nvmlDeviceGetMaxMigDeviceCount", handle) or 0) if partitioned else ():
        part = _ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, place)
        if part is None:
            continue
        ids = [_ask(f"nvmlDeviceGet{kind}InstanceId", part) for kind in ("Gpu", "Compute")]
        instance = "" if None in ids else f"MIG-{whole.uuid}/{ids[0]}/{ids[1]}"
        try:
            yield _read_gpu(part, index, parent=whole.uuid, instance=instance)
        except pynvml.NVMLError:  # removed at this moment
            continue


def _read_gpu(handle: Any, index: int, **known: Any) -> Gpu:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    load = _ask("nvmlDeviceGetUtilizationRates", handle)
    running = _ask("nvmlDeviceGetComputeRunningProcesses", handle) or ()
    power = _ask("nvmlDeviceGetPowerUsage", handle)
    return Gpu(
        index=index,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        memory_total=int(memory.total),
        memory_free=int(memory.free),
        load=None if load is None else load.gpu / 100,
        pids=tuple(process.pid for process in running),
        temperature=_ask("nvmlDeviceGetTemperature", handle, _TEMPERATURE_GPU),
        power=None if power is None else power / 1000,
        **known,
    )


def _speed(handle: Any) -> int:
    """Cores times clock rate: CUDA's default order is by speed, the fastest first."""
    cores = _ask("nvmlDeviceGetNumGpuCores", handle)
    clock = _ask("nvmlDeviceGetMaxClockInfo", handle, _CLOCK_SM)
    return int(cores * clock) if cores and clock else 0


def _ask(query: str, *arguments: Any) -> Any:
    """The result of a query; `None` where this GPU, driver or version of the library does not support it."""
    try:
        return getattr(pynvml, query)(*arguments) if hasattr(pynvml, query) else None
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
