"""Losses and correct predictions added up on the device, and read only when a row is due."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.engine.batches import Batch
from workbench.engine.state_content import SumsContent
from workbench.engine.task import Task


@dataclass(frozen=True)
class Means:
    """Over the samples of `count` steps."""

    count: int
    loss: float
    accuracy: float | None
    """`None` for a regression."""


class Sums:
    """Losses and right answers added up on the device; read where they are reported, and nowhere else.

    Two sums are kept of what was read: since the last row (`window`) and since the epoch began (`epoch`), each
    `[loss * examples, right, examples, steps]`. All of it travels in checkpoints unread, because reading early
    would add in another order.
    """

    def __init__(self, task: Task, device: torch.device) -> None:
        self._task = task
        # MPS has no float64.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.loss = torch.zeros((), dtype=dtype, device=device)
        self._right = torch.zeros((), dtype=torch.int64, device=device)
        self._examples = self._steps = 0
        self.window = [0.0] * 4
        self.epoch = [0.0] * 4

    def add(self, loss: Tensor, outputs: Tensor, batch: Batch) -> None:
        """Add a batch, or a part of one; `loss` is its mean."""
        self.loss.add_(loss.detach(), alpha=len(batch))
        right = self._task.right(outputs, batch.targets)
        if right is not None:
            self._right.add_(right)

    def end_step(self, examples: int) -> None:
        """All parts of a step have been added, of so many examples."""
        self._examples += examples
        self._steps += 1

    def tensors(self) -> list[Tensor]:
        """What lies on the device."""
        return [self.loss, self._right]

    def read(self) -> None:
        """Move what lies on the device into both sums."""
        # One read: each makes the host wait for the device.
        loss, right = torch.stack((self.loss, self._right.to(self.loss.dtype))).tolist()
        read = (loss, right, float(self._examples), float(self._steps))
        self.window = [a + b for a, b in zip(self.window, read, strict=True)]
        self.epoch = [a + b for a, b in zip(self.epoch, read, strict=True)]
        self.loss.zero_()
        self._right.zero_()
        self._examples = self._steps = 0

    def means(self, sums: list[float]) -> Means:
        """The means that one of both sums comes to."""
        loss, right, examples, steps = sums
        accuracy = right / examples if self._task.name == "classification" else None
        return Means(int(steps), loss / examples, accuracy)

    def state_dict(self) -> SumsContent:
        """For a checkpoint."""
        device = [float(self.loss), int(self._right), self._examples, self._steps]
        return {"device": device, "window": list(self.window), "epoch": list(self.epoch)}

    def load_state_dict(self, state: SumsContent) -> None:
        """From a checkpoint."""
        loss, right, examples, steps = state["device"]
        self._examples, self._steps = int(examples), int(steps)
        self.loss.fill_(loss)
        self._right.fill_(right)
        self.window, self.epoch = list(state["window"]), list(state["epoch"])
