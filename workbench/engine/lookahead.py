"""Weights that are drawn back, every few steps, to an average of where they have been."""

from __future__ import annotations

import torch
from torch import Tensor, nn

STRENGTH = 0.95**5
"""What of the average is kept at the end of the run; before that, this times the cube of the part that is done."""


class Lookahead:
    """Slow weights beside those that the optimizer moves, which every few steps go on from them.

    The slow ones move towards the fast ones, then both are the same again (Zhang et al., arXiv:1907.08610, with
    an average that lasts longer and longer, as hlb-CIFAR10 and airbench94 have it; Jordan, arXiv:2404.00498).
    Statistics of batch norms go with them.
    """

    def __init__(self, module: nn.Module) -> None:
        self._fast = [value for value in module.state_dict().values() if value.is_floating_point()]
        self._slow = [value.clone() for value in self._fast]

    def update(self, done: float) -> None:
        """Bring both together; `done` is the part of the run that is behind, at whose end the average is taken."""
        if done < 1:
            torch._foreach_lerp_(self._slow, self._fast, 1 - STRENGTH * done**3)
        torch._foreach_copy_(self._fast, self._slow)

    def state_dict(self) -> list[Tensor]:
        """The slow weights."""
        return self._slow

    def load_state_dict(self, slow: list[Tensor]) -> None:
        """Slow weights of another time."""
        for value, before in zip(self._slow, slow, strict=True):
            value.copy_(before)


def lookahead_of(slow: list[Tensor] | None, every: int, module: nn.Module) -> Lookahead | None:
    """With the slow weights of a checkpoint, or the module's where that has none; `None` where `every` is 0."""
    if not every:
        return None
    lookahead = Lookahead(module)
    if slow is not None:
        lookahead.load_state_dict(slow)
    return lookahead
