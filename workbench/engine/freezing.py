"""A network of which only the head learns for the first epochs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class Backbone:
    """What of a module can be frozen: all that learns outside its head (parameter name prefixes)."""

    def __init__(self, module: nn.Module, head: Sequence[str]) -> None:
        self.module = module
        self.parameters = [
            p for n, p in module.named_parameters() if p.requires_grad and not _in_head(n, head)
        ]
        self.norms = [
            m for n, m in module.named_modules() if isinstance(m, _BatchNorm) and not _in_head(n, head)
        ]

    def train(self, frozen: bool) -> None:
        """Set the module to training, the backbone frozen or not; frozen batch norms keep their statistics.

        The optimizer passes over parameters without gradients, so those of a frozen backbone are dropped.
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
