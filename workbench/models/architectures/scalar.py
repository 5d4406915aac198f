"""A model with a single weight."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from workbench.core.errors import UserError


class Scalar(nn.Module):
    """y = weight · x with one weight of shape [] and no bias: [N, 1] → [N, 1]."""

    def __init__(self, shape: Sequence[int], outputs: int, *, start: float = 0.1) -> None:
        super().__init__()
        if math.prod(shape) != 1 or outputs != 1:
            raise UserError(
                f"scalar maps one number to one number, but the data has inputs of shape {list(shape)} and "
                f"{outputs} outputs: try linear"
            )
        self.weight = nn.Parameter(torch.tensor(start))

    def forward(self, x: Tensor) -> Tensor:
        """The values of the regression."""
        output: Tensor = self.weight * x
        return output

    def extra_metrics(self) -> dict[str, float]:
        """The current weight, which is reported with the metrics."""
        return {"weight": float(self.weight.detach())}
