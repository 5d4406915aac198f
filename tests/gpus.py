"""GPUs for tests, through the stub of NVML in `nvml_stub`: in this process, and in every process that a test starts."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from workbench.runs import queue_state
from workbench.system import nvml, nvml_driver

STUB = Path(__file__).parent / "nvml_stub"
GB = 10**9
FOREIGN_PID = 2**22 + 7
"""Larger than any pid the kernel gives: a process of somebody else, which this container does not see."""


def gpu(number: int, **changed: Any) -> dict[str, Any]:
    """An idle GPU of 80 GB, the `number`-th in PCI order; its UUID starts with `GPU-` and eight times its number."""
    usual = {
        "uuid": f"GPU-{str(number) * 8}-aaaa-bbbb-cccc-dddddddddddd", "name": "NVIDIA H100", "total": 80 * GB,
        "free": 79 * GB, "load": 0, "pids": [], "temperature": 41, "power": 70_000,
    }  # fmt: skip
    return {**usual, **changed}


def uuid(number: int) -> str:
    """The UUID of `gpu(number)`."""
    return str(gpu(number)["uuid"])


def mig_slice(number: int, **changed: Any) -> dict[str, Any]:
    """An idle MIG slice of 10 GB."""
    usual = {
        "uuid": f"MIG-{str(number) * 8}-eeee-5f5f-9999-dddddddddddd", "name": "NVIDIA H100 MIG 1g.10gb",
        "total": 10 * GB, "free": 9 * GB,
    }  # fmt: skip
    return {**usual, **changed}


class StubDriver:
    """The driver that this process and its children see; `write` changes it for all of them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, gpus: Sequence[dict[str, Any]] = (), **other: Any) -> None:
        """Describe the driver, see `nvml_stub/pynvml.py`."""
        changed = self.path.with_suffix(".new")
        changed.write_text(json.dumps({"gpus": list(gpus), **other}))
        changed.replace(self.path)


def install(tmp_path: Path, patch: pytest.MonkeyPatch) -> StubDriver:
    """Replace NVML here and in child processes, and remove what the environment says about GPUs."""
    driver = StubDriver(tmp_path / "nvml.json")
    driver.write()
    patch.setenv("TEST_NVML", str(driver.path))
    before = os.environ.get("PYTHONPATH")
    patch.setenv("PYTHONPATH", os.pathsep.join([str(STUB), *([before] if before else [])]))
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        patch.delenv(name, raising=False)
    patch.setattr(nvml_driver, "pynvml", _load_stub())
    patch.setattr(nvml, "_pending", None)
    patch.setattr(queue_state, "_driver", queue_state._Driver())  # an answer from before is used for a minute
    return driver


def _load_stub() -> Any:
    spec = importlib.util.spec_from_file_location("nvml_stub_pynvml", STUB / "pynvml.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubDriver:
    """A stub driver without GPUs."""
    return install(tmp_path, monkeypatch)
