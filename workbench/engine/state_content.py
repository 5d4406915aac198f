"""The training state as it is stored in checkpoints: plain values and tensors for `torch.save`."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from torch import Tensor

from workbench.engine.rng_state import RandomStates

StateDict = dict[str, Any]
"""The return value of PyTorch's own `state_dict` methods."""


class BestEpochContent(TypedDict):
    """The best epoch so far, see `train_state.BestEpoch`."""

    value: float
    loss: float
    step: int
    epoch: int


class RunningSumsContent(TypedDict):
    """Losses and correct predictions that are not reported yet, see `RunningSums`."""

    device: list[float]
    """Of all processes together."""
    window: list[float]
    epoch: list[float]


class ProcessContent(TypedDict):
    """What differs between the processes of a training."""

    random: RandomStates
    sums: list[float]
    """Its part of `RunningSumsContent.device`."""


class AverageContent(TypedDict):
    """An average of the weights, see `WeightAverage`."""

    kind: str
    """`ema` or `swa`."""
    updates: int
    weights: dict[str, Tensor]
    """All floating-point values of the module's state dict."""


class TrainingContent(TypedDict):
    """The return value of `TrainState.state_dict`: everything that training changes."""

    v: int
    model: dict[str, Tensor]
    optimizer: StateDict
    lookahead: list[Tensor] | None
    scaler: StateDict | None
    step: int
    epoch: int
    position: int
    best: BestEpochContent | None
    stale: int
    sums: RunningSumsContent
    random: RandomStates
    average: NotRequired[AverageContent | None]
    """Of `train.ema` or `train.swa`; missing in older checkpoints."""
    ranks: NotRequired[list[ProcessContent]]
    """By rank; missing where one process trained, whose `random` and `sums` are above."""


def result_weights(content: TrainingContent) -> dict[str, Tensor]:
    """The weights that are evaluated, exported and used for predictions: the average, where the run keeps one."""
    average = content.get("average")
    if not average or not average["updates"]:
        return content["model"]
    return {**content["model"], **average["weights"]}
