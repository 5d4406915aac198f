"""The lowest, highest and smoothed value of each metric of a run, which only its whole record shows.

The list of runs reads the ends of records; these are read where a column asks for them, each line once.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from workbench.io.regular_files import file_stamp, open_regular_descriptor
from workbench.runs.jsonl import decode_lines
from workbench.runs.metric_series import metric_series, newest_values
from workbench.runs.metrics import EpochRow, MetricLine
from workbench.runs.reader import read_view
from workbench.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from workbench.runs.store import RunSummary

SMOOTHING = 0.9
"""The factor of the exponential moving average."""


class MetricRange(msgspec.Struct, frozen=True, gc=False):
    """A metric over a whole run."""

    min: float
    max: float
    smoothed: float
    """The newest value of the exponential moving average."""


@dataclass(slots=True)
class _Accumulator:
    low: float = math.inf
    high: float = -math.inf
    average: float = 0.0
    weight: float = 0.0

    def add(self, value: float) -> None:
        if math.isfinite(value):
            self.low, self.high = min(self.low, value), max(self.high, value)
            self.average = SMOOTHING * self.average + (1 - SMOOTHING) * value
            self.weight = SMOOTHING * self.weight + 1 - SMOOTHING


@dataclass
class _Reading:
    """The values of a run that are read."""

    stamp: object = None
    """What changes whenever there is more to read."""
    inode: int = 0
    offset: int = 0
    """The end of the lines that are read of `metrics.jsonl`."""
    accumulators: dict[str, _Accumulator] = field(default_factory=dict)
    ranges: dict[str, MetricRange] = field(default_factory=dict)

    def add(self, values: Iterable[tuple[str, float]]) -> None:
        """Add values by the names of their metrics."""
        for name, value in values:
            self.accumulators.setdefault(name, _Accumulator()).add(value)

    def finish(self) -> None:
        """Make the ranges of what was added."""
        self.ranges = {
            name: MetricRange(one.low, one.high, one.average / one.weight)
            for name, one in self.accumulators.items()
            if one.weight
        }


class MetricRanges:
    """Fills the ranges of runs in, and remembers them."""

    def __init__(self, folder: Callable[[str], RunFolder]) -> None:
        """`folder`: that of a run by its id."""
        self._folder = folder
        self._readings: dict[str, _Reading] = {}
        self.pending = False
        """Whether the time did not suffice for all runs."""

    def fill(self, rows: Sequence[RunSummary], seconds: float = math.inf) -> list[RunSummary]:
        """The runs with their ranges. Those that could not be read within `seconds` have older ones, or none yet."""
        deadline = time.monotonic() + seconds
        self.pending = False
        return [self._filled(row, deadline) for row in rows]

    def _filled(self, row: RunSummary, deadline: float) -> RunSummary:
        folder, reading = self._folder(row.id), self._readings.get(row.id)
        stamp = file_stamp(folder.metrics), row.log_stamp, row.step
        if reading is None or reading.stamp != stamp:
            if time.monotonic() < deadline:
                reading = self._readings[row.id] = self._read(folder, row, reading)
                reading.stamp = stamp
            else:
                self.pending = True
        return row if reading is None else msgspec.structs.replace(row, ranges=reading.ranges)

    def _read(self, folder: RunFolder, row: RunSummary, before: _Reading | None) -> _Reading:
        if row.is_training:
            return _read_lines(folder, before or _Reading())
        reading = _Reading()
        for name, series in metric_series(read_view(folder)).items():
            reading.add((name, value) for value in series.values)
        reading.finish()
        return reading


def _read_lines(folder: RunFolder, reading: _Reading) -> _Reading:
    """Read the lines that were appended to `metrics.jsonl`; all of them if a resume has replaced it."""
    try:
        descriptor = open_regular_descriptor(folder.metrics)
    except OSError:
        return _Reading()
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_ino != reading.inode or status.st_size < reading.offset:
            reading = _Reading(inode=status.st_ino)
        file.seek(reading.offset)
        *lines, partial = file.read().split(b"\n")
        reading.offset = file.tell() - len(partial)
    for row in decode_lines(lines, MetricLine):
        if not isinstance(row, EpochRow):  # whose steps are counted already
            reading.add(newest_values([row]).items())
    reading.finish()
    return reading
