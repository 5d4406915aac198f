"""A multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn


class Mlp(nn.Module):
    """Dense layers with ReLU and dropout on the flattened input: [N, ...] → [N, outputs]."""

    def __init__(
        self, shape: Sequence[int], outputs: int, *, widths: Sequence[int] = (128,), dropout: float = 0.2
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        units = math.prod(shape)
        for width in widths:
            layers += [nn.Linear(units, width), nn.ReLU(), nn.Dropout(dropout)]
            units = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(units, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, or the values of a regression."""
        output: Tensor = self.head(self.body(x))
        return output
