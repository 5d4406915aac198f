"""Everything that depends on internals of PyTorch; `pyproject.toml` caps torch below 3 because of them.

Each function says which internal it uses and why; `tests/engine/test_torch_compat.py` shows whether it still works.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer


def is_batch_norm(module: nn.Module) -> TypeGuard[_BatchNorm]:
    """Whether `module` is a batch normalization layer of any dimension; torch has no public base class for them."""
    return isinstance(module, _BatchNorm)


def has_batch_norm(module: nn.Module) -> bool:
    """Whether `module` contains a batch normalization layer."""
    return any(is_batch_norm(part) for part in module.modules())


def copy_tensors_(targets: list[Tensor], sources: list[Tensor]) -> None:
    """Copy `sources` into `targets` with a few kernel launches (`torch._foreach_copy_`)."""
    torch._foreach_copy_(targets, sources)


def lerp_tensors_(targets: list[Tensor], ends: list[Tensor], weight: float) -> None:
    """Interpolate `targets` linearly towards `ends`, with a few kernel launches (`torch._foreach_lerp_`)."""
    torch._foreach_lerp_(targets, ends, weight)


def relative_change(
    before: list[Tensor], now: list[Tensor], add_up: Callable[[Tensor], None] | None = None
) -> Tensor:
    """‖now - before‖ / ‖now‖, each the norm of all tensors of a list together (a scalar); `before` is overwritten.

    `add_up`: replaces a tensor by its sum over the processes, where each has a part of the tensors.

    By `torch._foreach_sub_` and `torch._foreach_norm`: `nn.utils.get_total_norm` takes three times as long for small
    tensors.
    """
    torch._foreach_sub_(before, now)
    norms = torch.stack(torch._foreach_norm([*before, *now]))
    both = torch.linalg.vector_norm(norms.view(2, -1), dim=1)
    if add_up is not None:
        squares = both.square()
        add_up(squares)
        both = squares.sqrt()
    of_change, of_weights = both.unbind()
    ratio: Tensor = of_change / of_weights
    return ratio


def avoid_dynamo_import() -> None:
    """Keep the bookkeeping methods of `Optimizer` from importing `torch._dynamo`, which takes 3 seconds.

    Their decorator `torch._disable_dynamo` looks for the undecorated function's `__dynamo_disable` and imports the
    compiler to create it; here it is set to the function itself, which is equivalent as nothing is being traced.
    """
    for method in (Optimizer.add_param_group, Optimizer.state_dict, Optimizer.load_state_dict):
        undecorated = getattr(method, "__wrapped__", None)
        if undecorated is not None:
            vars(undecorated).setdefault("__dynamo_disable", undecorated)


def unwrapped_step(optimizer: Optimizer) -> Callable[[], None]:
    """The optimizer's step without the profiler ranges and hooks that torch wraps around it.

    The arithmetic is the same. The wrappers take a noticeable part of a small model's step and import the compiler.
    """
    step = inspect.unwrap(type(optimizer).step)

    def run() -> None:
        with torch.no_grad():
            step(optimizer)

    return run


def use_full_fp32_convolutions() -> None:
    """Compute float32 convolutions of cuDNN with all their bits: by default it rounds their inputs to TF32.

    Not by the newer `torch.backends.cudnn.conv.fp32_precision`: with it, everything that reads `allow_tf32` raises
    `RuntimeError`, among it `torch.onnx.export` and `torch.backends.cudnn.flags`.
    """
    torch.backends.cudnn.allow_tf32 = False


def attach_found_inf(optimizer: Optimizer, found_inf: Tensor) -> bool:
    """Make a fused optimizer skip its updates while `found_inf` (float32 scalar on its device) is 1.

    This is the interface that `GradScaler` uses. `False`, with nothing done, for optimizers without it.
    """
    if not getattr(optimizer, "_step_supports_amp_scaling", False):
        return False
    vars(optimizer)["found_inf"] = found_inf
    return True


def warn_about_nondeterminism() -> None:
    """Use deterministic algorithms, with a warning for operations that have none, and without filling new memory.

    `torch.use_deterministic_algorithms` would import the compiler. Filling uninitialized memory, which is on by
    default, only helps to find bugs and takes time.
    """
    torch.set_deterministic_debug_mode("warn")
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010
