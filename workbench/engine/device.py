"""The compute device, the precision of forward and backward, and determinism."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import Any, Literal

import torch

from workbench.core.errors import UserError
from workbench.core.text import one_line
from workbench.engine.torch_compat import warn_about_nondeterminism
from workbench.system.cpu import usable_cores
from workbench.system.cuda_order import VARIABLE
from workbench.system.devices import cuda_problem
from workbench.system.gpu import GpuInventory, read_inventory

CUDA_NAME = r"(cuda(:\d+)?|(GPU|MIG)-.+)"
"""A regular expression for names of CUDA devices."""


@dataclass(frozen=True)
class DeviceChoice:
    """The device of a training process."""

    device: torch.device
    reason: str = ""
    """Why it is the CPU although the driver has GPUs or fails, in one line; empty if it is not."""


def pick_training_device(name: str, is_assigned: bool = False) -> DeviceChoice:
    """The device for `train.device=name`. The CPU, with a reason, where torch can't use the GPUs of the driver.

    `is_assigned`: this process sees only the GPU that its run was given, as `cuda:0`. Raises `UserError` for a device
    that this host does not have.
    """
    if name in {"cpu", "mps"}:
        return DeviceChoice(pick_device(name))
    if torch.cuda.is_available():
        return DeviceChoice(torch.device("cuda", 0) if is_assigned else pick_device(name))
    inventory = read_inventory()
    if is_assigned or inventory.usable:
        return DeviceChoice(torch.device("cpu"), _why_no_cuda(inventory))
    if inventory.driver.problem and name == "auto":
        return DeviceChoice(pick_device(name), inventory.driver.problem)
    return DeviceChoice(pick_device(name))


def _why_no_cuda(inventory: GpuInventory) -> str:
    """Why torch can't use a GPU of the driver, in one line."""
    known = cuda_problem(inventory)
    if known:
        return known
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return one_line(error, 300)
    return "CUDA finds no GPU"


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`, as `workbench devices` lists it: `auto`, `cpu`, `mps`, `cuda`, `cuda:N` or a UUID.

    `auto` (and `cuda` with several devices) is the CUDA device that `GpuInventory.choose` chooses, else MPS, else the
    CPU. Raises `UserError` for an unknown or missing device; the message lists the available ones.
    """
    limit_threads()
    available = available_devices()
    if name == "auto":
        name = next((kind for kind in ("cuda", "mps") if kind in available), "cpu")
    if name in {"cpu", "mps"} and name in available:
        return torch.device(name)
    if re.fullmatch(CUDA_NAME, name) and "cuda" in available:
        return _pick_cuda(name, available)
    if not re.fullmatch(rf"cpu|mps|{CUDA_NAME}", name):
        raise UserError(f"unknown device '{name}'; available: {', '.join(available)} (or auto)")
    inventory = read_inventory()
    reason = f": {_why_no_cuda(inventory)}" if inventory.usable else ""
    raise UserError(f"device '{name}' is not available{reason}; available: {', '.join(available)} (or auto)")


def limit_threads() -> None:
    """Use at most as many CPU threads as this process has cores: torch knows of no container's CPU quota."""
    if torch.get_num_threads() > usable_cores():
        torch.set_num_threads(usable_cores())


def available_devices() -> list[str]:
    """The names of the devices that torch can use on this machine, `cpu` first."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def _pick_cuda(name: str, available: list[str]) -> torch.device:
    """The CUDA device called `name`: found by UUID, as driver and torch may order GPUs differently."""
    inventory = read_inventory()
    numbers = {_uuid(index): index for index in range(torch.cuda.device_count())}
    reachable = [gpu for gpu in inventory.usable if gpu.uuid in numbers]
    if reachable:
        gpu = inventory.choose(among=reachable) if name == "cuda" else inventory.find(name)
        if gpu in reachable:
            return torch.device("cuda", numbers[gpu.uuid])
    if name == "cuda":
        return _emptiest_cuda()
    if name in available:  # a MIG slice, whose UUID torch may not report, or no NVML
        return torch.device(name)
    raise UserError(
        f"device '{name}' is not available to this process; start it with {VARIABLE}={name}, or use one of "
        f"{', '.join(available)} (or auto)"
    )


def _emptiest_cuda() -> torch.device:
    """The CUDA device with the most free memory."""
    free = [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]
    return torch.device("cuda", max(range(len(free)), key=free.__getitem__))


def _uuid(index: int) -> str:
    return f"GPU-{torch.cuda.get_device_properties(index).uuid}"


@dataclass(frozen=True)
class Precision:
    """The compute dtype of forward and backward on one device."""

    name: Literal["fp32", "bf16", "fp16"]
    device: torch.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype called `name`."""
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.name]

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The autocast context for the forward pass; none in fp32."""
        if self.name == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def scaler(self) -> torch.amp.GradScaler | None:
        """The gradient scaler, which keeps small fp16 gradients from underflowing; `None` for fp32 and bf16."""
        return torch.amp.GradScaler(self.device.type) if self.name == "fp16" else None


def pick_precision(name: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device) -> Precision:
    """The precision called `name`; `auto` is bf16 where a GPU supports it, else fp32.

    Raises `UserError` for fp16 on the CPU.
    """
    if name == "auto":
        return Precision("bf16" if _has_bf16(device) else "fp32", device)
    if name == "fp16" and device.type == "cpu":
        raise UserError("train.precision fp16 needs a GPU; use fp32 or bf16 on the CPU")
    return Precision(name, device)


def _has_bf16(device: torch.device) -> bool:
    """Whether a GPU computes in bf16. `torch.cuda.is_bf16_supported` answers for the current device only."""
    if device.type != "cuda":
        return False
    return torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= 8


def configure_determinism(device: torch.device, deterministic: bool = False) -> None:
    """Make CPU training deterministic; on a GPU choose speed, unless determinism is requested there too.

    Kernels are then chosen without benchmarking and add in a fixed order; operations that have no deterministic
    version warn in the log.
    """
    if device.type != "cpu":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = not deterministic
        torch.backends.cudnn.deterministic = deterministic
    if device.type == "cpu" or deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        warn_about_nondeterminism()


def device_name(device: torch.device) -> str:
    """The product name of a CUDA device; the type of any other."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
