"""A CUDA device for a machine without one: fake tensors, which have shapes, dtypes and a device, but no values.

Whatever mixes tensors of two devices fails, as on a real GPU, and so does whatever reads a value. Not covered: backward
passes (autograd needs a real device; `FakeState` makes up the gradients), streams and events, NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from workbench.datasets import random_ops
from workbench.datasets.grayscale import luma_weights
from workbench.engine import data_placement
from workbench.engine.train_state import TrainState

CUDA = torch.device("cuda", 0)


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorMode]:
    """A mode for `with`, in which new tensors are fake and may be on `CUDA`."""
    monkeypatch.setattr(data_placement, "_free_bytes", lambda device: 1 << 40)
    # Autocast and the gradient scaler switch themselves off without a driver.
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    monkeypatch.setattr(nn.Module, "_apply", replace_tensors)
    device_tables = (luma_weights, random_ops._magnitudes, random_ops._signed_operations)
    for table in device_tables:
        table.cache_clear()
    allow_tf32 = torch.backends.cudnn.allow_tf32
    yield FakeTensorMode(allow_non_fake_inputs=False)
    torch.backends.cudnn.allow_tf32 = allow_tf32
    for table in device_tables:
        table.cache_clear()


def replace_tensors(
    module: nn.Module, convert: Callable[[Tensor], Tensor], recurse: bool = True
) -> nn.Module:
    """As `nn.Module._apply`, which can't convert a fake parameter twice."""
    made: dict[int, tuple[nn.Parameter, nn.Parameter]] = {}
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in made:
                with torch.no_grad():
                    new = nn.Parameter(convert(parameter), parameter.requires_grad)
                made[id(parameter)] = (parameter, new)
            part._parameters[name] = made[id(parameter)][1]
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else convert(buffer)
    return module


def to_fake_cuda(module: nn.Module) -> None:
    """Put parameters and buffers of a module of shapes only on `CUDA`; inside the mode. All else stays where it is."""
    replace_tensors(module, lambda t: torch.empty(t.shape, dtype=t.dtype, device=CUDA))


class FakeState(TrainState):
    """A training state whose backward pass makes up the gradients."""

    def backward(self, loss: Tensor) -> None:
        """Gradients of the shapes of all trainable parameters, on their device."""
        assert loss.shape == () and loss.device == CUDA and loss.requires_grad
        if self._scaler is not None:
            assert self._scaler.scale(loss * self.guard.nan_scale).device == CUDA
        for parameter in self._parameters:
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)


class FusedKernels(TorchDispatchMode):
    """Stands in for kernels that have no fake version: checks that all their tensors are on one device.

    To be entered inside of the fake mode.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func._schema.name.startswith(("aten::_fused_", "aten::_amp_")):
            return func(*args, **(kwargs or {}))
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        devices = {str(tensor.device) for tensor in tensors}
        if len(devices) > 1:
            raise RuntimeError(f"{func}: expected all tensors on the same device, not {', '.join(devices)}")
        return args[0] if func._schema.name == "aten::_amp_update_scale_" else None


READS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal", "aten::masked_select",
         "aten::unique_dim", "aten::_unique2", "aten::unique_consecutive", "aten::bincount"}  # fmt: skip
"""Operators for which the host waits for the device: it needs a value, or a shape that depends on values."""
COPIES = {"aten::_to_copy", "aten::copy_"}


METHODS = {"tolist", "numpy", "__array__", "__repr__", "__format__", "cpu"}
"""Methods of tensors that read values without an operator, at least on the CPU."""


class DeviceReads:
    """A context that counts what would make the host wait for the device, by its name, in `found`."""

    def __init__(self, *, methods: bool = True) -> None:
        """`methods`: count methods of tensors too, some of which read without an operator; this takes time."""
        self.found: list[str] = []
        self._modes = (_Operators(self.found), *([_Methods(self.found)] if methods else ()))

    def __enter__(self) -> list[str]:
        for mode in self._modes:
            mode.__enter__()
        return self.found

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)


class _Methods(TorchFunctionMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self._found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in METHODS:
            self._found.append(f"Tensor.{func.__name__}")
        return func(*args, **(kwargs or {}))


class _Operators(TorchDispatchMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self._found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if name in READS or (name == "aten::index" and _is_read(*args)):
            self._found.append(name)
        result = func(*args, **(kwargs or {}))
        if name in COPIES and isinstance(result, Tensor):
            source = args[1] if name == "aten::copy_" else args[0]
            if isinstance(source, Tensor) and source.device != result.device and not _queued(args, kwargs):
                self._found.append(f"{name} from {source.device} to {result.device}")
        return result


def _is_read(values: Tensor, indices: Any) -> bool:
    """Whether indexing waits: for the number of elements of a mask, or for indices of another device."""
    return any(
        isinstance(i, Tensor) and (i.dtype in {torch.bool, torch.uint8} or i.device != values.device)
        for i in indices
    )


def _queued(args: Any, kwargs: Any) -> bool:
    """Whether a copy to the device does not wait (`non_blocking`)."""
    return bool((kwargs or {}).get("non_blocking", len(args) > 2 and args[2]))
