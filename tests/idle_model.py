"""A model that waits most of the time: a run of it stays alive without keeping a core busy."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from torch import nn

IDLE_MODEL = f"{__file__}:Idle"
"""The name of the model, for `--model`."""
STEP_SECONDS = 0.01


class Idle(nn.Module):
    """A dense layer after a pause. Inputs [N, ...], outputs [N, classes]."""

    def __init__(self, classes: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.layer = nn.Linear(math.prod(shape), classes)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        time.sleep(STEP_SECONDS)
        outputs: torch.Tensor = self.layer(inputs.flatten(1))
        return outputs
