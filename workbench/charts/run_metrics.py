"""The metrics of a run as points by name, kept up to date with its view: new rows are added, nothing is read again."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from workbench.charts.run_events import RunEvent, run_events
from workbench.logs.series import Series
from workbench.runs.journal import SystemSample
from workbench.runs.metric_series import NOT_METRICS, TRAINING, machine_values
from workbench.runs.metrics import EvaluationMetrics
from workbench.runs.reader import TIME, MetricColumns, RunView


class XKind(StrEnum):
    """What the x axis of charts counts; the value is its name for a user."""

    STEP = "step"
    EPOCH = "epoch"
    RELATIVE = "relative time"
    WALL = "wall time"


@dataclass(frozen=True)
class Points:
    """One metric of a run: growing columns, and how its x values become those of a chart."""

    xs: Sequence[float]
    ys: Sequence[float]
    offset: float = 0.0
    scale: float = 1.0
    """A chart shows `(x - offset) * scale`."""

    def shown(self, x: float) -> float:
        """The x in a chart of one of `xs`."""
        return (x - self.offset) * self.scale

    def recorded(self, shown: float) -> float:
        """The inverse of `shown`."""
        return shown / self.scale + self.offset


@dataclass(frozen=True)
class _Columns:
    steps: Sequence[float]
    values: Sequence[float]
    times: Sequence[float]
    epochs: Sequence[float]


class RunMetrics:
    """The metrics of one run: of training steps, of evaluations, of the machine, and what a script has logged."""

    def __init__(self) -> None:
        self._columns: dict[str, _Columns] = {}
        self._source: MetricColumns | None = None
        self._evaluations: dict[str, Series] = {}
        self._num_evaluations = 0
        self._machine: dict[str, Series] = {}
        self._num_lines = 0
        self._steps_per_epoch = 0.0
        self._events: Sequence[RunEvent] = ()
        self._start = math.nan
        """The earliest known time of a point, Unix seconds."""

    @property
    def names(self) -> frozenset[str]:
        """The metrics with at least one point."""
        return frozenset(self._columns)

    def update(self, view: RunView) -> None:
        """Add what is new in `view`, which is always one of the same run."""
        if view.curve is not self._source or len(view.evaluations) < self._num_evaluations:
            self._source, self._evaluations, self._num_evaluations = view.curve, {}, 0
        if len(view.journal) < self._num_lines:
            self._machine, self._num_lines = {}, 0
        if len(view.journal) != self._num_lines:
            self._events = run_events(view.journal)
        self._add_evaluations(view)
        self._add_machine_samples(view)
        self._steps_per_epoch = float(view.setup.steps_per_epoch if view.setup else 0)
        series = {**self._evaluations, **self._machine, **dict(view.logged)}
        self._columns = self._training_columns(view.curve) | {
            name: _Columns(one.steps, one.values, one.wall_times, one.epochs)
            for name, one in series.items()
            if len(one)
        }
        times = [time for one in self._columns.values() for time in one.times[:1] if time > 0]
        self._start = min(times, default=math.nan)

    def points(self, name: str, kind: XKind) -> Points | None:
        """A metric by what the x axis counts; `None` without the metric, or where that is not known of it."""
        columns = self._columns.get(name)
        if columns is None:
            return None
        if kind is XKind.STEP:
            return Points(columns.steps, columns.values)
        if kind is XKind.EPOCH:
            if len(columns.epochs):
                return Points(columns.epochs, columns.values)
            if not self._steps_per_epoch:
                return None
            return Points(columns.steps, columns.values, scale=1 / self._steps_per_epoch)
        offset = self._start if kind is XKind.RELATIVE else 0.0
        known = len(columns.times) and math.isfinite(self._start)
        return Points(columns.times, columns.values, offset) if known else None

    def events(self, kind: XKind) -> list[tuple[float, str]]:
        """What happened to the run: positions on an x axis, where they are known, and texts."""
        scale = 1 / self._steps_per_epoch if kind is XKind.EPOCH and self._steps_per_epoch else math.nan
        found = []
        for event in self._events:
            time = event.time or math.nan
            x = {
                XKind.STEP: float(event.step),
                XKind.EPOCH: event.step * scale,
                XKind.RELATIVE: time - self._start,
                XKind.WALL: time,
            }[kind]
            if math.isfinite(x):
                found.append((x, event.text))
        return found

    def _training_columns(self, rows: MetricColumns) -> dict[str, _Columns]:
        names = list(rows.values)  # a copy: the columns of a run that is read in a thread may grow meanwhile
        epochs, times = rows.column("epoch"), rows.column(TIME)
        if epochs and not epochs[-1] > 0:  # the rows of this record have no epochs
            epochs = array("d")
        return {
            f"{TRAINING}/{name}": _Columns(rows.step, rows.values[name], times, epochs)
            for name in names
            if name not in NOT_METRICS
        }

    def _add_evaluations(self, view: RunView) -> None:
        for row in view.evaluations[self._num_evaluations :]:
            for name in (*EvaluationMetrics.METRICS, *row.model):
                if (value := row.metric(name)) is not None:
                    series = self._evaluations.setdefault(f"{row.split}/{name}", Series())
                    series.append(row.step, value, row.wall.time or math.nan, row.epoch)
        self._num_evaluations = len(view.evaluations)

    def _add_machine_samples(self, view: RunView) -> None:
        for line in view.journal[self._num_lines :]:
            if isinstance(line, SystemSample):
                for name, value in machine_values(line).items():
                    series = self._machine.setdefault(name, Series())
                    series.append(line.step, value, line.time or math.nan)
        self._num_lines = len(view.journal)
