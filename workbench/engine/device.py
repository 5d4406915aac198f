"""The compute device, the precision of forward and backward, and determinism."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import Any, Literal

import torch

from workbench.core.errors import UserError
from workbench.engine.torch_compat import warn_about_nondeterminism
from workbench.system.gpu import choose_gpu, list_gpus


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`: `auto`, `cpu`, `cuda`, `cuda:N` (CUDA's numbers) or `mps`.

    `auto` (and `cuda` with several devices) is the idle CUDA device with the most free memory, else MPS, else the CPU.
    Raises `UserError` for an unknown or missing device; the message lists the available ones.
    """
    available = available_devices()
    if name == "auto":
        name = next((kind for kind in ("cuda", "mps") if kind in available), "cpu")
    if name == "cuda" and "cuda" in available:
        return _best_cuda()
    if name in available:
        return torch.device(name)
    if not re.fullmatch(r"(auto|cpu|mps|cuda(:\d+)?)", name):
        raise UserError(f"unknown device '{name}'; available: {', '.join(available)} (or auto)")
    raise UserError(f"device '{name}' is not available; available: {', '.join(available)} (or auto)")


def available_devices() -> list[str]:
    """The names of the devices that torch can use on this machine, `cpu` first."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def _best_cuda() -> torch.device:
    """The idle CUDA device according to NVML; without NVML, the one with the most free memory."""
    numbers = {_uuid(index): index for index in range(torch.cuda.device_count())}
    best = choose_gpu([gpu for gpu in list_gpus() if gpu.uuid in numbers])
    if best is not None:
        return torch.device("cuda", numbers[best.uuid])
    free = [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]
    return torch.device("cuda", max(range(len(free)), key=free.__getitem__))


def _uuid(index: int) -> str:
    return f"GPU-{torch.cuda.get_device_properties(index).uuid}"


@dataclass(frozen=True)
class Precision:
    """The compute dtype of forward and backward on one device."""

    name: Literal["fp32", "bf16", "fp16"]
    device: torch.device

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The autocast context for the forward pass; none in fp32."""
        if self.name == "fp32":
            return contextlib.nullcontext()
        dtype = torch.bfloat16 if self.name == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype)

    def scaler(self) -> torch.amp.GradScaler | None:
        """The gradient scaler, which keeps small fp16 gradients from underflowing; `None` for fp32 and bf16."""
        return torch.amp.GradScaler(self.device.type) if self.name == "fp16" else None


def pick_precision(name: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device) -> Precision:
    """The precision called `name`; `auto` is bf16 where a GPU supports it, else fp32.

    Raises `UserError` for fp16 on the CPU.
    """
    if name == "auto":
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return Precision("bf16" if has_bf16 else "fp32", device)
    if name == "fp16" and device.type == "cpu":
        raise UserError("train.precision fp16 needs a GPU; use fp32 or bf16 on the CPU")
    return Precision(name, device)


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
