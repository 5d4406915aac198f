"""One dense layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn


class Linear(nn.Module):
    """Logistic regression (classes) or linear regression (values): [N, ...] → [N, outputs]."""

    def __init__(self, shape: Sequence[int], outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.head = nn.Linear(math.prod(shape), outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, or the values of a regression."""
        output: Tensor = self.head(x.flatten(1))
        return output
