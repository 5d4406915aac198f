"""Freezing the backbone of a network, so that only its head is trained in the first epochs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from workbench.engine.torch_compat import is_batch_norm


class Backbone:
    """The part of a module that can be frozen: all trainable parameters outside its head (parameter name prefixes)."""

    def __init__(self, module: nn.Module, head: Sequence[str]) -> None:
        self.module = module
        self.parameters = [
            p for n, p in module.named_parameters() if p.requires_grad and not _in_head(n, head)
        ]
        self.norms = [m for n, m in module.named_modules() if is_batch_norm(m) and not _in_head(n, head)]

    def train(self, frozen: bool) -> None:
        """Set the module to training mode, with the backbone frozen or not; frozen batch norms keep their statistics.

        Gradients of a frozen backbone are dropped, because the optimizer skips parameters without one.
        """
        self.module.train()
        for parameter in self.parameters:
            parameter.requires_grad_(not frozen)
            if frozen:
                parameter.grad = None
        for norm in self.norms if frozen else ():
            norm.eval()


def _in_head(name: str, head: Sequence[str]) -> bool:
    return any(name == prefix or name.startswith(prefix.rstrip(".") + ".") for prefix in head)
