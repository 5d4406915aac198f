"""One number that is learned."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from workbench.core.errors import BadInput


class Scalar(nn.Module):
    """y = weight · x with one weight of shape [] and no bias: [N, 1] → [N, 1]."""

    def __init__(self, shape: Sequence[int], outputs: int, *, start: float = 0.1) -> None:
        super().__init__()
        if math.prod(shape) != 1 or outputs != 1:
            raise BadInput(
                f"scalar learns one number from one number; the data has inputs of shape {list(shape)} and "
                f"{outputs} outputs: try linear"
            )
        self.weight = nn.Parameter(torch.tensor(start))

    def forward(self, x: Tensor) -> Tensor:
        """The values of the regression."""
        output: Tensor = self.weight * x
        return output

    def figures(self) -> dict[str, float]:
        """What a person wants to see of its parameters, by name."""
        return {"weight": float(self.weight.detach())}
