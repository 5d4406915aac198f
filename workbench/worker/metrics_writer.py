"""What training writes down: means over steps and epochs, and evaluations."""

from __future__ import annotations

import time

import msgspec

from workbench.engine.running_sums import Sums
from workbench.runs.jsonl import LineWriter
from workbench.runs.metrics import EpochRow, EvaluationRow, StepRow, Wall

ROWS = 10_000
"""The most step rows of a run."""
ROWS_PER_EPOCH = 40
"""About a plot's columns in the first epoch; a row costs as much as a third of a small model's step."""


def report_every(steps_per_epoch: int, epochs: int) -> int:
    """Steps a row covers when nobody says: at most 40 rows an epoch and 10,000 a run."""
    return max(1, -(-steps_per_epoch // ROWS_PER_EPOCH), -(-steps_per_epoch * epochs // ROWS))


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
