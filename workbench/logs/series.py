"""One metric of a log, in columns."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

MAX_STEP = 2**63 - 1


def as_step(value: float | None) -> int | None:
    """A number as a step; `None` for what is not finite or does not fit 64 bits."""
    if value is None or not math.isfinite(value) or abs(value) > MAX_STEP:
        return None
    return int(value)


@dataclass(slots=True)
class StepCounts:
    """How often the steps of a series are not what they mostly are: given, and greater than the one before."""

    missing: int = 0
    """Points without a step; they got the step before them plus one."""
    repeated: int = 0
    backward: int = 0


@dataclass(slots=True)
class Series:
    """The points of one metric in the order in which they were written; all columns have the same length."""

    steps: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    wall_times: array[float] = field(default_factory=lambda: array("d"))
    """Seconds since 1970; NaN where unknown."""
    epochs: array[float] = field(default_factory=lambda: array("d"))
    """NaN where unknown; empty if no point has an epoch."""
    _counts: StepCounts = field(default_factory=StepCounts)
    _counted: int = 0

    def __len__(self) -> int:
        return len(self.steps)

    def append(
        self, step: int | None, value: float, wall_time: float = math.nan, epoch: float = math.nan
    ) -> None:
        """Add a point; without a step it gets the one before it plus one."""
        if step is None:
            self._counts.missing += 1
            step = min(self.steps[-1] + 1, MAX_STEP) if self.steps else 0
        if self.epochs or not math.isnan(epoch):
            self._pad_epochs()
            self.epochs.append(epoch)
        self.steps.append(step)
        self.values.append(value)
        self.wall_times.append(wall_time)

    def extend(self, steps: array[int], values: array[float], wall_times: array[float]) -> None:
        """Add points."""
        self.steps.extend(steps)
        self.values.extend(values)
        self.wall_times.extend(wall_times)
        if self.epochs:
            self._pad_epochs()

    def count_steps(self) -> StepCounts:
        """Count missing, repeated and backward steps; only points since the last call are looked at."""
        new = self.steps[max(self._counted - 1, 0) :]
        for before, after in pairwise(new):
            if after <= before:
                self._counts.repeated += after == before
                self._counts.backward += after < before
        self._counted = len(self.steps)
        return self._counts

    def drop_every_second(self) -> None:
        """Halve the number of points."""
        self.count_steps()
        for column in self._columns():
            del column[1::2]
        self._counted = len(self.steps)

    def keep_newest(self) -> None:
        """Drop all points but the newest."""
        self.count_steps()
        for column in self._columns():
            del column[:-1]
        self._counted = len(self.steps)

    def _columns(self) -> Sequence[array[int] | array[float]]:
        return self.steps, self.values, self.wall_times, self.epochs

    def _pad_epochs(self) -> None:
        self.epochs.extend([math.nan] * (len(self.steps) - len(self.epochs)))
