"""Writing `metrics.jsonl`: means over steps and epochs, and evaluations."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import msgspec

from workbench.engine.running_sums import RunningSums
from workbench.runs.jsonl import LineWriter
from workbench.runs.metrics import EpochRow, EvaluationRow, StepRow, Wall

MAX_STEP_ROWS = 10_000
"""The maximum number of step rows per run."""
ROWS_PER_EPOCH = 40
"""About the columns of a plot of the first epoch; writing a row takes a third of the time of a small model's step."""
MIN_UPDATE_EVERY = 20
"""Steps from one measured update to the next, at least: on the CPU, measuring takes a third of a small model's step."""


def auto_log_every(steps_per_epoch: int, epochs: int) -> int:
    """Steps per row for `train.log_every=auto`: at most 40 rows per epoch and 10,000 per run."""
    return max(1, -(-steps_per_epoch // ROWS_PER_EPOCH), -(-steps_per_epoch * epochs // MAX_STEP_ROWS))


class RowClock:
    """The seconds that the steps since the previous row took, without evaluations, pauses and recoveries."""

    def __init__(self) -> None:
        self._counted: float | None = 0.0
        self._since: float | None = time.perf_counter()

    def restart(self, counted: float | None = 0.0) -> None:
        """Count from now on; `counted`: the seconds of the steps of the next row so far, `None` if not known."""
        self._counted, self._since = counted, time.perf_counter()

    @property
    def seconds(self) -> float | None:
        """Seconds since the previous row; `None` where those before a resume are not known."""
        if self._counted is None or self._since is None:
            return self._counted
        return self._counted + time.perf_counter() - self._since

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Count no time inside the context."""
        self._counted, self._since = self.seconds, None
        try:
            yield
        finally:
            self._since = time.perf_counter()


class MetricsWriter:
    """Writes the rows of `metrics.jsonl`."""

    def __init__(self, sums: RunningSums, lines: LineWriter, log_every: int) -> None:
        self.sums, self.lines, self.log_every = sums, lines, log_every
        self.clock = RowClock()

    @property
    def update_every(self) -> int:
        """Steps from one measured update to the next: a multiple of `log_every`."""
        return self.log_every * -(-MIN_UPDATE_EVERY // self.log_every)

    def write_step(self, step: int, epoch: float, lr: float) -> None:
        """Write a row of the means since the previous one; `epoch` is fractional."""
        self.sums.read()
        wall = _wall(self.clock.seconds, self.sums.window[2])
        self.clock.restart()
        means = self.sums.means(self.sums.window)
        update_ratio = self.sums.last_update_ratio if step % self.update_every == 0 else None
        self.lines.write(
            StepRow(
                step=step, epoch=round(epoch, 6), count=means.count, loss=means.loss, accuracy=means.accuracy,
                lr=lr, grad_norm=self.sums.last_grad_norm, update_ratio=update_ratio, wall=wall,
            )
        )  # fmt: skip
        self.sums.window = [0.0] * 4

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


def _wall(seconds: float | None, samples: float) -> Wall:
    """The time and the throughput of a row of `samples` samples that took `seconds`."""
    if not seconds:
        return Wall(time=_now())
    return Wall(time=_now(), seconds=round(seconds, 6), samples_per_second=round(samples / seconds, 1))


def _now() -> float:
    return round(time.time(), 3)
