"""What is learned: the loss that training follows, and what is counted as right beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.config.training_settings import Train
from workbench.core.errors import RunFailed
from workbench.datasets.dataset import Data


class Task(ABC):
    """A kind of learning. Outputs and targets are batches on one device."""

    name: str
    outputs: int
    """Numbers the model gives for one example."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss that is followed in training (a scalar with a gradient), of targets that may be soft."""

    @abstractmethod
    def right(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """How many outputs are right (an integer scalar), `None` where that makes no sense."""

    def weight(self, targets: Tensor) -> float | Tensor:
        """What the mean loss of a batch counts as beside that of others: its examples, or the sum of their weights."""
        return float(len(targets))


class Classification(Task):
    """One of several classes: cross-entropy, with label smoothing and class weights where they are asked for.

    outputs: logits [B, classes]; targets: int64 [B], or for the loss how much of each class, float [B, classes].
    """

    name = "classification"

    def __init__(self, classes: int, label_smoothing: float = 0.0, weights: Tensor | None = None) -> None:
        self.outputs = classes
        self._smoothing = label_smoothing
        self._weights = weights

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy; with class weights, the weighted mean (of soft targets, as torch has it, over examples)."""
        return F.cross_entropy(outputs, targets, self._weights, label_smoothing=self._smoothing)

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How many of the largest logits are those of the target."""
        return (outputs.argmax(1) == targets).sum()

    def weight(self, targets: Tensor) -> float | Tensor:
        """The sum of the class weights of hard targets; torch takes soft ones by their number."""
        if self._weights is None or targets.is_floating_point():
            return super().weight(targets)
        return self._weights[targets].sum()


class Regression(Task):
    """Numbers: the mean squared error. outputs: [B, ...] of as many elements as targets: float32 [B, ...]."""

    name = "regression"

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(like(outputs, targets), targets)

    def right(self, outputs: Tensor, targets: Tensor) -> None:
        """Nothing: numbers are near, not right."""


def like(outputs: Tensor, targets: Tensor) -> Tensor:
    """`outputs` in the shape of `targets`: [B, 1] against [B] would spread to [B, B] and learn nonsense.

    Raises `RunFailed` when they have different numbers of elements.
    """
    if outputs.shape == targets.shape:
        return outputs
    if outputs.numel() != targets.numel():
        raise RunFailed(
            f"the model gives {tuple(outputs.shape[1:])} for each example, the dataset has {tuple(targets.shape[1:])}"
        )
    return outputs.reshape(targets.shape)


def task_of(data: Data, train: Train, device: torch.device) -> Task:
    """The task that a dataset sets, with the loss settings of `train`."""
    targets = data.train.targets
    if data.task == "regression":
        return Regression(max(1, targets[0].numel()))
    weights = None
    if train.class_weights == "balanced":
        weights = balanced_weights(targets, len(data.classes)).to(device)
    return Classification(len(data.classes), train.label_smoothing, weights)


def balanced_weights(targets: Tensor, classes: int) -> Tensor:
    """float32 [classes]: examples / (classes * examples of the class), as scikit-learn's "balanced" is; 0 for none."""
    counts = torch.bincount(targets, minlength=classes).float()
    return torch.where(counts > 0, len(targets) / (classes * counts.clamp(min=1)), 0.0)
