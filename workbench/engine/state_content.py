"""What of a training travels in checkpoints, as plain values that torch.save takes."""

from __future__ import annotations

from typing import Any, TypedDict

from torch import Tensor

from workbench.engine.rng_state import RandomStates

StateDict = dict[str, Any]
"""What torch's own `state_dict` methods return: its structure is torch's."""


class BestContent(TypedDict):
    """The best epoch so far, see `state.BestEpoch`."""

    value: float
    loss: float
    step: int
    epoch: int


class SumsContent(TypedDict):
    """Losses and correct predictions that are not reported yet, see `report.Sums`."""

    device: list[float]
    window: list[float]
    epoch: list[float]


class TrainingContent(TypedDict):
    """What `TrainState.state_dict` returns: everything that training changes."""

    v: int
    model: dict[str, Tensor]
    optimizer: StateDict
    lookahead: list[Tensor] | None
    scaler: StateDict | None
    step: int
    epoch: int
    position: int
    best: BestContent | None
    stale: int
    sums: SumsContent
    random: RandomStates
