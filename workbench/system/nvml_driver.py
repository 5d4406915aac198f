"""The questions to the NVIDIA driver: imported by the thread that asks it, see `nvml`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pynvml

from workbench.system.nvml import DriverReport, DriverState, Gpu

_NO_DRIVER = {6, 9, 12}
"""Errors of a machine without an NVIDIA driver or GPU: not found, driver not loaded, library not found."""
_TEMPERATURE_GPU, _CLOCK_SM = 0, 1


def read_report() -> DriverReport:
    """The current state of the GPUs. Waits as long as the driver does, which may be for ever."""
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
