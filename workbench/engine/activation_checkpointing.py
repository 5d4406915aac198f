"""Activation checkpointing: the blocks of a network compute their activations again in the backward pass.

Only the inputs of the blocks are kept between the passes, so that larger batches fit, for about a third more time
(Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from workbench.engine.torch_compat import is_batch_norm

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Modules that are sequences of others."""


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """The blocks of a network: the parts of its sequences that have parts themselves, as residual blocks have.

    Of blocks within blocks, the outer ones. A network that is a plain sequence of layers has none.
    """
    blocks: list[nn.Module] = []
    for part in module.children():
        is_container = isinstance(part, CONTAINERS)
        is_block = isinstance(module, CONTAINERS) and not is_container and any(part.children())
        blocks += [part] if is_block else blocks_of(part)
    return list(dict.fromkeys(blocks))


def checkpoint_blocks(module: nn.Module) -> int:
    """Let the blocks of a network keep nothing but their inputs in training; returns the number of blocks.

    Outputs, gradients and running statistics are the same, and so are the names of all parameters.
    """
    blocks = blocks_of(module)
    for block in blocks:
        kind = type(block)
        block.__class__ = type(kind.__name__, (_Checkpointed, kind), {"__module__": kind.__module__})
    return len(blocks)


class _Checkpointed(nn.Module):
    """The first base class of a block that is checkpointed."""

    def forward(self, *inputs: Any, **options: Any) -> Any:
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(*inputs, **options)
        # A list may have grown by the time of the backward pass: the outputs of all layers before, in a DenseNet.
        kept = [list(value) if isinstance(value, list) else value for value in inputs]
        return checkpoint(super().forward, *kept, use_reentrant=False, context_fn=self._contexts, **options)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """The contexts of the first and of the second computation."""
        return nullcontext(), self._without_statistics()

    @contextmanager
    def _without_statistics(self) -> Iterator[None]:
        """Batch norms have counted the batch in the first computation."""
        found = [part for part in self.modules() if is_batch_norm(part)]
        norms = [
            (norm, norm.momentum, count) for norm in found if (count := norm.num_batches_tracked) is not None
        ]
        for norm, _, count in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, count.clone()
        try:
            yield
        finally:
            for norm, momentum, count in norms:
                norm.momentum, norm.num_batches_tracked = momentum, count
