"""A driver that tests describe in a JSON file: the part of NVML's Python module that workbench uses.

On `PYTHONPATH` it takes the place of the real module in every process of the product. The file that
`$TEST_NVML` names is read again at each `nvmlInit`:

    {"gpus": [{"uuid": "GPU-…", "name": "…", "total": BYTES, "free": BYTES, "load": PERCENT or null, "pids": [PID],
               "temperature": °C or null, "power": MILLIWATTS or null, "cores": N, "clock": MHZ, "lost": true,
               "slices": [{"uuid": "MIG-…", "name": …, "total": …, "free": …, "pids": …}]}],
     "cuda": 13020, "error": NVML ERROR NUMBER, "hang": SECONDS, "queries": FILE}

`gpus` are in PCI order; `slices` turn MIG mode on. `queries`: a line is added to this file at each `nvmlInit`.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_NOT_FOUND, NVML_ERROR_GPU_IS_LOST = 3, 6, 15
_TEXTS = {
    3: "Not Supported",
    6: "Not Found",
    9: "Driver Not Loaded",
    12: "NVML Shared Library Not Found",
    15: "GPU is lost",
    18: "RM has detected an NVML/RM version mismatch.",
}

_state: dict[str, Any] = {}


class NVMLError(Exception):
    """An error with NVML's number."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return _TEXTS.get(self.value, f"error {self.value}")


class Handle:
    """A GPU or a MIG slice."""

    def __init__(self, values: dict[str, Any], place: int = 0, is_slice: bool = False) -> None:
        self.values, self.place, self.is_slice = values, place, is_slice


def _value(handle: Handle, name: str) -> Any:
    value = handle.values.get(name)
    if value is None:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
    return value


def nvmlInit() -> None:
    _state.clear()
    _state.update(json.loads(Path(os.environ["TEST_NVML"]).read_text()))
    if queries := _state.get("queries"):
        with Path(queries).open("a") as file:
            file.write(f"{os.getpid()}\n")
    time.sleep(_state.get("hang", 0))
    if "error" in _state:
        raise NVMLError(_state["error"])


def nvmlShutdown() -> None:
    pass


def nvmlSystemGetCudaDriverVersion_v2() -> int:
    return int(_state.get("cuda", 99000))


def nvmlDeviceGetCount() -> int:
    return len(_state["gpus"])


def nvmlDeviceGetHandleByIndex(index: int) -> Handle:
    gpu = _state["gpus"][index]
    if gpu.get("lost"):
        raise NVMLError(NVML_ERROR_GPU_IS_LOST)
    return Handle(gpu, index)


def nvmlDeviceGetMigMode(handle: Handle) -> list[int]:
    mode = int("slices" in handle.values)
    return [mode, mode]


def nvmlDeviceGetMaxMigDeviceCount(handle: Handle) -> int:
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(handle: Handle, index: int) -> Handle:
    if index >= len(handle.values["slices"]):
        raise NVMLError(NVML_ERROR_NOT_FOUND)
    return Handle(handle.values["slices"][index], index, is_slice=True)


def nvmlDeviceGetGpuInstanceId(handle: Handle) -> int:
    return handle.place + 1


def nvmlDeviceGetComputeInstanceId(handle: Handle) -> int:
    return 0


def nvmlDeviceGetMemoryInfo(handle: Handle) -> SimpleNamespace:
    total, free = _value(handle, "total"), _value(handle, "free")
    return SimpleNamespace(total=total, free=free, used=total - free)


def nvmlDeviceGetUUID(handle: Handle) -> str:
    return str(_value(handle, "uuid"))


def nvmlDeviceGetName(handle: Handle) -> bytes:
    return str(_value(handle, "name")).encode()


def nvmlDeviceGetUtilizationRates(handle: Handle) -> SimpleNamespace:
    if handle.is_slice:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
    return SimpleNamespace(gpu=_value(handle, "load"), memory=0)


def nvmlDeviceGetComputeRunningProcesses(handle: Handle) -> list[SimpleNamespace]:
    return [SimpleNamespace(pid=pid, usedGpuMemory=None) for pid in handle.values.get("pids", ())]


def nvmlDeviceGetTemperature(handle: Handle, sensor: int) -> int:
    return int(_value(handle, "temperature"))


def nvmlDeviceGetPowerUsage(handle: Handle) -> int:
    return int(_value(handle, "power"))


def nvmlDeviceGetNumGpuCores(handle: Handle) -> int:
    return int(_value(handle, "cores"))


def nvmlDeviceGetMaxClockInfo(handle: Handle, kind: int) -> int:
    return int(_value(handle, "clock"))
