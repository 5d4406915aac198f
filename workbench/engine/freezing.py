"""Freezing the backbone of a network, so that only its head is trained in the first epochs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from workbench.config.training_settings import TrainingSettings
from workbench.engine.torch_compat import is_batch_norm
from workbench.models.stages import in_head, stages_of


class Backbone:
    """The part of a module that can be frozen: all trainable parameters outside its head (parameter name prefixes)."""

    def __init__(self, module: nn.Module, head: Sequence[str]) -> None:
        self.module, self.head = module, tuple(head)
        self._trainable = [
            n for n, p in module.named_parameters() if p.requires_grad and not in_head(n, head)
        ]
        self._norms = [m for n, m in module.named_modules() if is_batch_norm(m) and not in_head(n, head)]
        self.stages: list[list[str]] = stages_of(module, head)
        """The names of the parameters outside the head by stage, from the input on."""

    def num_frozen(self, epoch: int, train: TrainingSettings) -> int:
        """How many stages, from the input on, are frozen in an epoch (counted from 0)."""
        count = len(self.stages)
        if epoch < train.freeze_epochs:
            return count
        if not train.unfreeze_every:
            return 0
        return max(0, count - 1 - (epoch - train.freeze_epochs) // train.unfreeze_every)

    def train(self, num_frozen: int) -> None:
        """Set the module to training mode, with so many stages frozen; frozen batch norms keep their statistics.

        Gradients of frozen parameters are dropped, because the optimizer skips parameters without one.
        """
        self.module.train()
        frozen = {name for stage in self.stages[:num_frozen] for name in stage}
        parameters = dict(self.module.named_parameters())
        for name in self._trainable:
            parameters[name].requires_grad_(name not in frozen)
            if name in frozen:
                parameters[name].grad = None
        all_frozen = num_frozen == len(self.stages)
        for norm in self._norms if num_frozen else ():
            own = list(norm.parameters())  # none in a norm without scale and bias
            if all_frozen or (own and not any(p.requires_grad for p in own)):
                norm.eval()
