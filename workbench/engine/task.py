"""Classification and regression: the training loss, and the number of correct predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import RunFailed
from workbench.datasets.dataset import Dataset


class Task(ABC):
    """A learning task. Outputs and targets are batches on one device."""

    name: str
    num_outputs: int
    """The number of model outputs per sample."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean training loss (a scalar with gradient); targets may be soft."""

    @abstractmethod
    def num_correct(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """The number of correct predictions (an int64 scalar); `None` for a regression."""

    def loss_weight(self, targets: Tensor) -> float | Tensor:
        """The weight of a batch's mean loss among other batches: its number of samples, or the sum of their weights."""
        return len(targets)


class Classification(Task):
    """Single-label classification: cross-entropy with optional label smoothing and class weights (float32 [classes]).

    outputs: logits [B, classes]; targets: int64 [B], or class shares float32 [B, classes] for the loss.
    """

    name = "classification"

    def __init__(self, classes: int, label_smoothing: float = 0.0, weights: Tensor | None = None) -> None:
        self.num_outputs = classes
        self._smoothing = label_smoothing
        self._weights = weights

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy; with class weights the weighted mean (for soft targets the mean over samples, as in torch)."""
        return F.cross_entropy(outputs, targets, self._weights, label_smoothing=self._smoothing)

    def num_correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The number of samples whose largest logit is that of the target class."""
        return (outputs.argmax(1) == targets).sum()

    def loss_weight(self, targets: Tensor) -> float | Tensor:
        """The sum of the class weights of hard targets; for soft targets the number of samples, as torch's mean."""
        if self._weights is None or targets.is_floating_point():
            return super().loss_weight(targets)
        return self._weights.index_select(0, targets).sum()


class Regression(Task):
    """Regression with mean squared error. targets: float32 [B, ...]; outputs: [B, ...] with as many elements."""

    name = "regression"

    def __init__(self, outputs: int) -> None:
        self.num_outputs = outputs

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error. Raises `RunFailed` where the model has another number of outputs than the targets."""
        return F.mse_loss(reshape_like(outputs, targets), targets)

    def num_correct(self, outputs: Tensor, targets: Tensor) -> None:
        """`None`: a regression has no correct predictions."""


def reshape_like(outputs: Tensor, targets: Tensor) -> Tensor:
    """`outputs` in the shape of `targets`: without it, [B, 1] and [B] would broadcast to [B, B].

    Raises `RunFailed` where they have different numbers of elements.
    """
    if outputs.numel() != targets.numel():
        raise RunFailed(
            f"the model's output shape per sample is {tuple(outputs.shape[1:])}, "
            f"but the dataset's targets have {tuple(targets.shape[1:])}"
        )
    return outputs.reshape(targets.shape)


def precision_setting(train: TrainingSettings, task: str) -> Literal["auto", "fp32", "bf16", "fp16"]:
    """`train.precision`, but fp32 where that is `auto` and `task` a regression: a bf16 output has three digits."""
    return "fp32" if train.precision == "auto" and task == "regression" else train.precision


def make_task(data: Dataset, train: TrainingSettings, device: torch.device) -> Task:
    """The task of a dataset, with the loss settings of `train`."""
    targets = data.train.targets
    if data.task == "regression":
        return Regression(max(1, targets[0].numel()))
    weights = None
    if train.class_weights == "balanced":
        weights = balanced_class_weights(targets, len(data.classes)).to(device)
    return Classification(len(data.classes), train.label_smoothing, weights)


def balanced_class_weights(targets: Tensor, classes: int) -> Tensor:
    """float32 [classes]: samples / (classes * samples of the class), scikit-learn's "balanced"; 0 for an empty class.

    `targets`: int64 [N].
    """
    counts = torch.zeros(classes).index_add_(0, targets, torch.ones(len(targets)))
    return torch.where(counts > 0, len(targets) / (classes * counts), 0.0)
