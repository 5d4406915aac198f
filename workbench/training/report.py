"""What training writes down: means over steps and epochs, and evaluations."""

from __future__ import annotations

import time
from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor

from workbench.runs.jsonl import LineWriter
from workbench.runs.metrics import EpochRow, EvaluationRow, StepRow, Wall
from workbench.training.batches import Batch
from workbench.training.checkpoint_files import SumsContent
from workbench.training.task import Task

ROWS = 10_000
"""The most step rows of a run."""
ROWS_PER_EPOCH = 40
"""About a plot's columns in the first epoch; a row costs as much as a third of a small model's step."""


def report_every(steps_per_epoch: int, epochs: int) -> int:
    """Steps a row covers when nobody says: at most 40 rows an epoch and 10,000 a run."""
    return max(1, -(-steps_per_epoch // ROWS_PER_EPOCH), -(-steps_per_epoch * epochs // ROWS))


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


class Report:
    """Writes the rows of `metrics.jsonl`."""

    def __init__(self, sums: Sums, metrics: LineWriter, every: int) -> None:
        self.sums, self.metrics, self.every = sums, metrics, every
        self._since = time.perf_counter()

    def restart_clock(self) -> None:
        """What passed since the last row was not training."""
        self._since = time.perf_counter()

    def step(self, step: int, epoch: float, lr: float) -> None:
        """A row of the means since the one before; `epoch` counts parts of it."""
        self.sums.read()
        now = time.perf_counter()
        seconds, examples = now - self._since, self.sums.window[2]
        means = self.sums.means(self.sums.window)
        wall = Wall(time=_now(), seconds=round(seconds, 6), samples_per_second=round(examples / seconds, 1))
        self.metrics.write(
            StepRow(
                step=step, epoch=round(epoch, 6), count=means.count, loss=means.loss, accuracy=means.accuracy,
                lr=lr, wall=wall,
            )
        )  # fmt: skip
        self.sums.window = [0.0] * 4
        self._since = now

    def epoch(self, step: int, epoch: int) -> None:
        """A row of the means over the epoch that ended; `epoch` counts whole ones."""
        self.sums.read()
        means = self.sums.means(self.sums.epoch)
        self.metrics.write(
            EpochRow(
                step=step, epoch=epoch, count=means.count, loss=means.loss, accuracy=means.accuracy,
                wall=Wall(time=_now()),
            )
        )  # fmt: skip
        self.sums.epoch = [0.0] * 4

    def evaluation(self, row: EvaluationRow) -> None:
        """A row of an evaluation; the time is added."""
        self.metrics.write(msgspec.structs.replace(row, wall=msgspec.structs.replace(row.wall, time=_now())))


def _now() -> float:
    return round(time.time(), 3)
