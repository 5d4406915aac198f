"""The tensors of a model that is sharded over processes (see `sharding`); of any other model, tensors as usual.

`DTensor` is recognized without importing it, which takes half a second that other trainings don't need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from workbench.engine.process_group import ProcessGroup


def _is_dtensor(tensor: Tensor) -> bool:
    return hasattr(tensor, "full_tensor")


def is_sharded(module: nn.Module) -> bool:
    """Whether `module` is sharded over processes."""
    return any(_is_dtensor(parameter) for parameter in module.parameters())


def local_shard(tensor: Tensor) -> Tensor:
    """The shard that this process has of a `DTensor`, in the same memory; any other tensor itself."""
    value: Any = tensor
    shard: Tensor = value.detach().to_local() if _is_dtensor(tensor) else tensor
    return shard


def full_tensor(tensor: Tensor) -> Tensor:
    """All of a `DTensor`, for which every process has to call this; any other tensor itself."""
    value: Any = tensor
    full: Tensor = value.detach().full_tensor() if _is_dtensor(tensor) else tensor
    return full


def shard_like(tensor: Tensor, other: Tensor) -> Tensor:
    """A full tensor, sharded as `other` is, if that is a `DTensor` of the same shape; else `tensor` itself."""
    if not _is_dtensor(other) or tensor.shape != other.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor  # noqa: PLC0415 - takes half a second

    like: Any = other
    # Every process has the full tensor, so that nothing has to be sent.
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def full_state(value: Any, *, keep: bool) -> Any:
    """A nested state dict with full tensors on the CPU in the place of each `DTensor`; all processes call this.

    It is gathered tensor by tensor, so that no device has to hold more than one. `keep`: whether this process needs
    them; else they are empty.
    """
    if isinstance(value, Tensor):
        if not _is_dtensor(value):
            return value
        full = full_tensor(value)
        return full.cpu() if keep else torch.empty(0)
    if isinstance(value, Mapping):
        return {key: full_state(inner, keep=keep) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [full_state(inner, keep=keep) for inner in value]
    return value


def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load a state dict with full tensors, which every process has. Raises `RuntimeError` where it does not fit."""
    if not is_sharded(module):
        module.load_state_dict(weights)
        return
    own = module.state_dict()
    if own.keys() != weights.keys() or any(own[name].shape != weights[name].shape for name in own):
        raise RuntimeError("the weights are those of another model")
    for name, value in own.items():
        local_shard(value).copy_(local_shard(shard_like(weights[name], value)))


@contextmanager
def unsharded(module: nn.Module) -> Iterator[None]:
    """Inside the context, each process has all parameters of `module`; all processes enter it together."""
    units: list[Any] = [part for part in module.modules() if hasattr(part, "unshard")]
    for unit in units:
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.reshard()


class ShardedNetwork:
    """Computes the outputs of a sharded module in training; the gradients are the means over all processes.

    Running statistics of batch norms are those of the writer, which the other processes take over before each step.
    """

    def __init__(self, module: nn.Module, group: ProcessGroup) -> None:
        self._module: Any = module
        self._group = group

    def __call__(self, inputs: Tensor) -> Tensor:  # noqa: D102
        outputs: Tensor = self._module(inputs)
        return outputs

    def invalidate(self) -> None:
        """Other parameters need gradients from now on, which FSDP sees by itself."""

    def prepare(self, compute: Callable[[Callable[[Tensor], Tensor]], None], changed: list[Tensor]) -> None:
        """Take over the buffers of the writer."""
        self._group.broadcast_tensors(self._module.buffers())

    def synchronize(self, enabled: bool) -> None:
        """Whether the next backward pass averages the gradients; until then each process keeps its own, unsharded."""
        self._module.set_requires_gradient_sync(enabled)
