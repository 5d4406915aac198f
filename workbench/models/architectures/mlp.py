"""A multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn


class Mlp(nn.Module):
    """Dense layers with ReLU and dropout on the flattened input: [N, ...] → [N, outputs].

    `batch_norm` adds batch normalization between each layer and its ReLU. `softmax` makes the network return
    probabilities, as in some tutorials; the loss then applies its softmax to those (see `outputs`).
    """

    def __init__(
        self,
        shape: Sequence[int],
        outputs: int,
        *,
        widths: Sequence[int] = (128,),
        dropout: float = 0.2,
        batch_norm: bool = False,
        softmax: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        units = math.prod(shape)
        for width in widths:
            norm = [nn.BatchNorm1d(width)] if batch_norm else []
            layers += [nn.Linear(units, width), *norm, nn.ReLU(), nn.Dropout(dropout)]
            units = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(units, outputs)
        self.gives_probabilities = softmax

    def forward(self, x: Tensor) -> Tensor:
        """Logits (probabilities with `softmax`), or the values of a regression."""
        output: Tensor = self.head(self.body(x))
        return output.softmax(1) if self.gives_probabilities else output
