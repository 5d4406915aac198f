"""The device that computes, and the arithmetic it does it in."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import Any, Literal

import torch

from workbench.core.errors import BadInput
from workbench.system.gpu import choose_gpu, list_gpus


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`: `auto`, `cpu`, `cuda`, `cuda:N` (CUDA's numbers) or `mps`.

    `auto` (and `cuda` among several) is the CUDA device that is idle and has most memory free, else MPS, else
    the CPU. Raises `BadInput` for a name nothing answers to, with what there is.
    """
    here = available()
    if name == "auto":
        name = next((kind for kind in ("cuda", "mps") if kind in here), "cpu")
    if name == "cuda" and "cuda" in here:
        return _best_cuda()
    if name in here:
        return torch.device(name)
    if not re.fullmatch(r"(auto|cpu|mps|cuda(:\d+)?)", name):
        raise BadInput(f"there is no device '{name}'; here there is {', '.join(here)} (or auto)")
    raise BadInput(f"device '{name}' is not there; here there is {', '.join(here)} (or auto)")


def available() -> list[str]:
    """The names of the devices torch can use here, `cpu` first."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def _best_cuda() -> torch.device:
    """The CUDA device that NVML finds idle; the one with most free memory where NVML tells nothing."""
    numbers = {_uuid(index): index for index in range(torch.cuda.device_count())}
    chosen = choose_gpu([gpu for gpu in list_gpus() if gpu.uuid in numbers])
    if chosen is not None:
        return torch.device("cuda", numbers[chosen.uuid])
    free = [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]
    return torch.device("cuda", max(range(len(free)), key=free.__getitem__))


def _uuid(index: int) -> str:
    return f"GPU-{torch.cuda.get_device_properties(index).uuid}"


@dataclass(frozen=True)
class Precision:
    """The arithmetic of forward and backward on one device."""

    name: Literal["fp32", "bf16", "fp16"]
    device: torch.device

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """What the forward pass stands in."""
        if self.name == "fp32":
            return contextlib.nullcontext()
        dtype = torch.bfloat16 if self.name == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype)

    def scaler(self) -> torch.amp.GradScaler | None:
        """What keeps small gradients from vanishing in fp16; `None` where nothing needs it."""
        return torch.amp.GradScaler(self.device.type) if self.name == "fp16" else None


def pick_precision(name: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device) -> Precision:
    """`auto`: bf16 where a GPU has it, else fp32. Raises `BadInput` for fp16 on the CPU."""
    if name == "auto":
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return Precision("bf16" if has_bf16 else "fp32", device)
    if name == "fp16" and device.type == "cpu":
        raise BadInput("train.precision fp16 needs a GPU; on the CPU take fp32 or bf16")
    return Precision(name, device)


def set_exactness(device: torch.device, exact: bool = False) -> None:
    """The same bits for the same run on a CPU; on a GPU speed, unless `exact` asks for the same there.

    Its kernels are then chosen by rule and not by timing, and add in a fixed order; what can't, warns in the log.
    """
    if device.type != "cpu":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = not exact
        torch.backends.cudnn.deterministic = exact
    if device.type == "cpu" or exact:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # Deterministic algorithms with warnings only; torch.use_deterministic_algorithms would import the compiler.
        torch.set_deterministic_debug_mode("warn")
        # Filling fresh memory is for finding bugs, and costs time.
        setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010
