"""The network of a training in several processes: DistributedDataParallel around a module, or a sharded module."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from workbench.engine.cuda_graphs import TensorSnapshot
from workbench.engine.process_group import ProcessGroup
from workbench.engine.sharded_tensors import ShardedNetwork, is_sharded


class ParallelNetwork(Protocol):
    """Computes the outputs of a module in training; the gradients are the means over all processes."""

    def __call__(self, inputs: Tensor) -> Tensor: ...  # noqa: D102

    def invalidate(self) -> None:
        """Other parameters need gradients from now on."""

    def prepare(self, compute: Callable[[Callable[[Tensor], Tensor]], None], changed: list[Tensor]) -> None:
        """Called before each step; `compute` makes a forward and a backward pass, which changes `changed`."""

    def synchronize(self, enabled: bool) -> None:
        """Whether the next backward pass averages the gradients: only that of the last micro-batch of a step."""


def make_parallel_network(module: nn.Module, group: ProcessGroup) -> ParallelNetwork | None:
    """The network of the processes of `group`; `None` for a single process."""
    if group.size == 1:
        return None
    return ShardedNetwork(module, group) if is_sharded(module) else ReplicatedNetwork(module, group)


class ReplicatedNetwork:
    """DistributedDataParallel around a module that each process has as a whole.

    Running statistics of batch norms are those of the writer, which the other processes take over before each step.
    """

    def __init__(self, module: nn.Module, group: ProcessGroup) -> None:
        self._module, self._group = module, group
        self._parallel: DistributedDataParallel | None = None

    def __call__(self, inputs: Tensor) -> Tensor:  # noqa: D102
        assert self._parallel is not None
        outputs: Tensor = self._parallel(inputs)
        return outputs

    def invalidate(self) -> None:
        """Other parameters need gradients from now on: the next step builds the reducer of the gradients anew."""
        self._parallel = None
        gc.collect()  # its hooks would add up with those of the next one

    def prepare(self, compute: Callable[[Callable[[Tensor], Tensor]], None], changed: list[Tensor]) -> None:
        """Make the reducer of the gradients, if that is still to be done.

        `compute` makes a forward and a backward pass with the network it is given; `changed`: what that changes.
        DistributedDataParallel orders the gradients anew after its first backward pass. One that is undone comes
        before the first step, so that those of a resumed run are added in the same order as those of an uncut one.
        """
        if self._parallel is not None:
            return
        snapshot = TensorSnapshot(changed)
        parameters = [p for p in self._module.parameters() if p.requires_grad]
        compute(self._module)
        unused = torch.tensor(sum(p.grad is None for p in parameters))
        self._group.sum(unused)
        self._zero_grad()
        self._parallel = DistributedDataParallel(self._module, find_unused_parameters=bool(unused))
        compute(self._parallel)
        self._zero_grad()
        snapshot.restore()

    def synchronize(self, enabled: bool) -> None:
        """Whether the next backward pass averages the gradients: only that of the last micro-batch of a step.

        This is what `DistributedDataParallel.no_sync` sets.
        """
        if self._parallel is not None:
            self._parallel.require_backward_grad_sync = enabled

    def _zero_grad(self) -> None:
        for parameter in self._module.parameters():
            parameter.grad = None
