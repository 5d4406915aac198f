"""Sums of losses and correct predictions that stay on the device until a metrics row is written."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.engine.process_group import SINGLE, ProcessGroup
from workbench.engine.state_content import RunningSumsContent
from workbench.engine.task import Task


@dataclass(frozen=True)
class Means:
    """Mean loss and accuracy of `count` steps, each step weighted by its samples."""

    count: int
    loss: float
    accuracy: float | None
    """`None` for a regression."""


class RunningSums:
    """Sums of losses and correct predictions on the device, read only when they are reported.

    What was read is added to two sums, since the last row (`window`) and since the start of the epoch (`epoch`), each
    `[loss * samples, correct, samples, steps]`. Checkpoints store the sums on the device separately, because reading
    them early would add in another order. Of several processes, each adds its own part to the sums on its device.
    """

    def __init__(self, task: Task, device: torch.device, group: ProcessGroup = SINGLE) -> None:
        self._task, self._group = task, group
        # MPS has no float64.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.loss = torch.zeros((), dtype=dtype, device=device)
        self._correct = torch.zeros((), dtype=torch.int64, device=device)
        self.grad_norm = torch.full((), math.nan, dtype=dtype, device=device)
        """Of the last step, before clipping; NaN if it is not computed."""
        self.update_ratio = torch.full((), math.nan, dtype=dtype, device=device)
        """Of the last step in which it was measured."""
        self.last_update_ratio: float | None = None
        """`update_ratio` at the last read, if it was finite."""
        self.last_grad_norm: float | None = None
        """`grad_norm` at the last read, if it was finite."""
        self._samples = self._steps = 0
        self.window = [0.0] * 4
        self.epoch = [0.0] * 4

    def add(
        self, loss: Tensor, outputs: Tensor, targets: Tensor, *, samples: int, is_counted: bool = True
    ) -> None:
        """Add a batch of this number of `samples`, or one of its micro-batches, or a process's part of it.

        `loss` (a scalar): the mean loss of the batch, or what the micro-batch contributes to it. `targets`: int64 class
        indices of the `outputs`. `is_counted`: whether this process, and no other, counts the correct predictions.
        """
        self.loss.add_(loss.detach(), alpha=samples)
        if not is_counted:
            return
        correct = self._task.num_correct(outputs, targets)
        if correct is not None:
            self._correct.add_(correct)

    def end_step(self, samples: int) -> None:
        """Count a step of this number of samples, after all its micro-batches were added."""
        self._samples += samples
        self._steps += 1

    def tensors(self) -> list[Tensor]:
        """The tensors on the device."""
        return [self.loss, self._correct]

    def read(self) -> None:
        """Move the sums on the devices of all processes into `window` and `epoch`."""
        sums = torch.stack((self.loss, self._correct.to(self.loss.dtype)))
        self._group.sum(sums)
        # A single read, because each one synchronizes with the device.
        on_device = torch.stack((*sums, self.grad_norm, self.update_ratio))
        loss, correct, grad_norm, update_ratio = on_device.tolist()
        self.last_grad_norm = grad_norm if math.isfinite(grad_norm) else None
        self.last_update_ratio = update_ratio if math.isfinite(update_ratio) else None
        read = (loss, correct, self._samples, self._steps)
        self.window = [a + b for a, b in zip(self.window, read, strict=True)]
        self.epoch = [a + b for a, b in zip(self.epoch, read, strict=True)]
        self.loss.zero_()
        self._correct.zero_()
        self._samples = self._steps = 0

    def means(self, sums: list[float]) -> Means:
        """The means of `window` or `epoch`."""
        loss, correct, samples, steps = sums
        accuracy = correct / samples if self._task.name == "classification" else None
        return Means(int(steps), loss / samples, accuracy)

    def state_dict(self) -> RunningSumsContent:
        """The sums of this process for a checkpoint; reads the device without resetting it."""
        device = [float(self.loss), int(self._correct), self._samples, self._steps]
        return {"device": device, "window": self.window, "epoch": self.epoch}

    def load_state_dict(self, state: RunningSumsContent, own: list[float] | None = None) -> None:
        """Restore the sums of a checkpoint; `own`: those on the device of this process, if they are known.

        Else one process takes over those of all.
        """
        loss, correct, samples, steps = own or state["device"]
        if own is None and not self._group.is_writer:
            loss, correct = 0.0, 0
        self._samples, self._steps = int(samples), int(steps)
        self.loss.fill_(loss)
        self._correct.fill_(correct)
        self.window, self.epoch = state["window"], state["epoch"]
