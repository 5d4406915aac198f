"""Writing `metrics.jsonl`: means over steps and epochs, and evaluations."""

from __future__ import annotations

import time

import msgspec

from workbench.engine.running_sums import RunningSums
from workbench.runs.jsonl import LineWriter
from workbench.runs.metrics import EpochRow, EvaluationRow, StepRow, Wall

MAX_STEP_ROWS = 10_000
"""The maximum number of step rows per run."""
ROWS_PER_EPOCH = 40
"""About the columns of a plot of the first epoch; writing a row takes a third of the time of a small model's step."""


def auto_log_every(steps_per_epoch: int, epochs: int) -> int:
    """Steps per row for `train.log_every=auto`: at most 40 rows per epoch and 10,000 per run."""
    return max(1, -(-steps_per_epoch // ROWS_PER_EPOCH), -(-steps_per_epoch * epochs // MAX_STEP_ROWS))


class MetricsWriter:
    """Writes the rows of `metrics.jsonl`."""

    def __init__(self, sums: RunningSums, lines: LineWriter, log_every: int) -> None:
        self.sums, self.lines, self.log_every = sums, lines, log_every
        self._since = time.perf_counter()

    def restart_clock(self) -> None:
        """Exclude the time since the last row from the throughput of the next one."""
        self._since = time.perf_counter()

    def write_step(self, step: int, epoch: float, lr: float) -> None:
        """Write a row of the means since the previous one; `epoch` is fractional."""
        self.sums.read()
        now = time.perf_counter()
        seconds, samples = now - self._since, self.sums.window[2]
        means = self.sums.means(self.sums.window)
        wall = Wall(time=_now(), seconds=round(seconds, 6), samples_per_second=round(samples / seconds, 1))
        self.lines.write(
            StepRow(
                step=step, epoch=round(epoch, 6), count=means.count, loss=means.loss, accuracy=means.accuracy,
                lr=lr, wall=wall,
            )
        )  # fmt: skip
        self.sums.window = [0.0] * 4
        self._since = now

    def write_epoch(self, step: int, epoch: int) -> None:
        """Write a row of the means over the completed epoch; `epoch`: epochs done."""
        self.sums.read()
        means = self.sums.means(self.sums.epoch)
        self.lines.write(
            EpochRow(
                step=step, epoch=epoch, count=means.count, loss=means.loss, accuracy=means.accuracy,
                wall=Wall(time=_now()),
            )
        )  # fmt: skip
        self.sums.epoch = [0.0] * 4

    def write_evaluation(self, row: EvaluationRow) -> None:
        """Write the row of an evaluation, with the current time."""
        self.lines.write(msgspec.structs.replace(row, wall=msgspec.structs.replace(row.wall, time=_now())))


def _now() -> float:
    return round(time.time(), 3)
