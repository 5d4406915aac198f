"""The metrics of some runs as charts that share the x axis; they follow the runs while these grow."""

from __future__ import annotations

import math
import statistics
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.charts.axes import Axis, doubling_end, fit_axis
from workbench.charts.chart_curve import ChartCurve, Reduced
from workbench.charts.chart_options import ChartOptions, Extent
from workbench.charts.mean_curve import deviation, mean_curve
from workbench.charts.point_index import PointIndex
from workbench.charts.run_metrics import Points, RunMetrics, XKind
from workbench.runs.reader import RunView

MAX_INDEXES = 256
"""Indexes of series that are kept, those that were drawn last."""
INDEX_SECONDS = 0.015
"""The time for indexing in a frame; long series take several, so that keys are not delayed."""


@dataclass(frozen=True)
class DrawnCurve:
    """What a chart shows of a curve wherever the cursor is."""

    values: Reduced
    smoothed: Reduced | None
    """Of the smoothed values, if they are smoothed."""
    best: tuple[float, float] | None
    """The point with the best value of all, where it is known which values are better."""
    inner: tuple[float, float] | None = None
    """The 1st and the 99th percentile of the visible values, where they are wanted."""


@dataclass(frozen=True)
class Line:
    """One metric of one run in a chart."""

    run_id: str
    curve: DrawnCurve
    at_cursor: float | None
    """The last value at or before the cursor, smoothed if the line is; `None` without one."""
    runs: int = 1
    """The runs that the line is the mean of. That of several has the mean as its smoothed values, and as its values the
    band of one standard deviation.
    """
    deviation: float | None = None
    """The standard deviation at the cursor of the runs that the line is the mean of."""


@dataclass(frozen=True)
class ChartEvent:
    """Something that happened to a run."""

    x: float
    run_id: str
    text: str
    """Not sanitized."""


@dataclass(frozen=True)
class Chart:
    """One metric of some runs."""

    name: str
    lines: Sequence[Line]
    x_axis: Axis
    y_axis: Axis
    events: Sequence[ChartEvent] = ()
    """On the visible part of the x axis."""

    def by_value(self) -> list[Line]:
        """The lines with a value at the cursor, the highest first."""
        known = [(line.at_cursor, line) for line in self.lines if line.at_cursor is not None]
        return [line for _, line in sorted(known, key=lambda pair: -pair[0])]


class _Indexed:
    """The index of a series, and the curve that was drawn of it last: most keys move only the cursor."""

    def __init__(self) -> None:
        self.index = PointIndex()
        self._drawn: tuple[object, DrawnCurve] | None = None

    def draw(
        self, curve: ChartCurve, axis: Axis, smoothing: float, columns: int, *, inner: bool
    ) -> DrawnCurve:
        """The curve on an axis, in at most this number of points."""
        drawn_for = axis, smoothing, columns, len(self.index), inner
        if self._drawn is None or self._drawn[0] != drawn_for:
            drawn = DrawnCurve(
                curve.reduce(axis, columns),
                curve.reduce_smoothed(axis, columns, smoothing) if smoothing else None,
                curve.best(),
                curve.inner_range(axis) if inner else None,
            )
            self._drawn = drawn_for, drawn
        return self._drawn[1]


class ChartSet:
    """Charts of the metrics of some runs."""

    def __init__(self) -> None:
        self._metrics: dict[str, RunMetrics] = {}
        self.groups: Sequence[Sequence[str]] = ()
        """Runs that are drawn as one line, their mean; the first of them stands for it. Empty: each run is a line."""
        self._live = False
        self._names: Sequence[str] = ()
        self._indexes: OrderedDict[tuple[str, str, XKind], _Indexed] = OrderedDict()
        self._axes: dict[tuple[str, str], Axis] = {}
        self._extents: dict[XKind, Extent] = {}
        self._deadline = math.inf
        self.pending = False
        """Whether a chart of this frame has points that are not indexed yet: draw it again."""

    @property
    def run_ids(self) -> Sequence[str]:
        """The runs, in their order."""
        return list(self._metrics)

    @property
    def lines(self) -> Sequence[Sequence[str]]:
        """The runs of each line."""
        return self.groups or [[run_id] for run_id in self._metrics]

    @property
    def names(self) -> Sequence[str]:
        """The metrics that any of the runs has; the same object while there are no others."""
        return self._names

    def update(self, views: Sequence[RunView]) -> None:
        """Show these runs, and what is new in them."""
        ids = [view.folder.id for view in views]
        if ids != list(self._metrics):
            self._metrics = {run_id: self._metrics.get(run_id) or RunMetrics() for run_id in ids}
            self.groups = ()
            self._axes.clear()
        for view in views:
            self._metrics[view.folder.id].update(view)
        self._live = any(view.status.live for view in views)
        self._extents.clear()
        names = frozenset[str]().union(*(metrics.names for metrics in self._metrics.values()))
        if names != frozenset(self._names):
            self._names = sorted(names)

    def begin_frame(self) -> None:
        """Give the charts from now on until the next call `INDEX_SECONDS` for points that were never drawn."""
        self.pending, self._deadline = False, time.monotonic() + INDEX_SECONDS

    def index_completely(self) -> None:
        """Give the charts from now on all the time that they need."""
        self._deadline = math.inf

    def extent(self, kind: XKind) -> Extent:
        """The range of x of all metrics of all runs."""
        if kind not in self._extents:
            self._extents[kind] = self._measure_extent(kind)
        return self._extents[kind]

    def _measure_extent(self, kind: XKind) -> Extent:
        low, high, positive = math.inf, -math.inf, math.inf
        for metrics in self._metrics.values():
            for points in (metrics.points(name, kind) for name in metrics.names):
                if points is None or not len(points.xs):
                    continue
                first, last = points.shown(points.xs[0]), points.shown(points.xs[-1])
                low, high = (
                    min(low, first),
                    max(high, first, last),
                )  # a comparison with NaN keeps what is known
                if first <= 0 and len(points.xs) > 1:
                    first = points.shown(points.xs[1])
                positive = min(positive, first) if first > 0 else positive
        if not math.isfinite(low) or not math.isfinite(high):
            return Extent()
        if kind is XKind.WALL:
            return Extent(low, max(high, low + 1.0), low)
        low = min(low, 0.0)
        end = (
            doubling_end(high, None) if self._live else high
        )  # a chart that grows is not scaled at every step
        return Extent(low, max(end, low + 1e-9), positive if math.isfinite(positive) else end)

    def chart(self, name: str, options: ChartOptions, columns: int) -> Chart:
        """A metric as a chart of at most this number of points across."""
        axis = options.x_axis(self.extent(options.x))
        lines = []
        for run_ids in self.lines:
            found = [
                (run_id, self._indexed(run_id, name, options.x, points), points)
                for run_id in run_ids
                if (points := self._metrics[run_id].points(name, options.x)) is not None
            ]
            curves = [ChartCurve(indexed.index, points, name) for _, indexed, points in found]
            if len(found) > 1:
                lines.append(_mean_line(run_ids[0], curves, options, axis, columns))
            elif found:
                drawn = found[0][1].draw(
                    curves[0], axis, options.smoothing, columns, inner=options.span == "inner"
                )
                lines.append(Line(run_ids[0], drawn, curves[0].value_at(options.cursor, options.smoothing)))
        events = [event for event in self.events(options) if axis.contains(event.x)]
        return Chart(name, lines, axis, self._y_axis(name, lines, options), events)

    def events(self, options: ChartOptions) -> list[ChartEvent]:
        """What happened to the runs, by its position on the x axis."""
        found = [
            ChartEvent(x, run_id, text)
            for run_id, metrics in self._metrics.items()
            for x, text in metrics.events(options.x)
        ]
        return sorted(found, key=lambda event: event.x)

    def _indexed(self, run_id: str, name: str, kind: XKind, points: Points) -> _Indexed:
        key = run_id, name, kind
        indexed = self._indexes.setdefault(key, _Indexed())
        self._indexes.move_to_end(key)
        if len(self._indexes) > MAX_INDEXES:
            self._indexes.popitem(last=False)
        self.pending |= indexed.index.update(points.xs, points.ys, self._deadline)
        return indexed

    def _y_axis(self, name: str, lines: Sequence[Line], options: ChartOptions) -> Axis:
        drawn = [
            line.curve.smoothed if line.curve.smoothed and line.runs == 1 else line.curve.values
            for line in lines
        ]
        values = [value for one in drawn for part in (one.lows, one.highs) for value in part]
        if (limits := options.limits_of(name)) is not None:
            return Axis(*limits, "log" if options.log != "off" and limits[0] > 0 else "linear")
        if options.span == "inner":
            values = [value for line in lines for value in line.curve.inner or ()] or values
        if options.log != "off" and any(value > 0 for value in values):
            return fit_axis(values, scale="log")
        key = name, options.span
        before = self._axes.get(key)
        axis = fit_axis(values, before, cut_spikes=options.span == "usual")
        if options.window is None:
            self._axes[key] = axis
        return axis


def _mean_line(
    run_id: str, curves: Sequence[ChartCurve], options: ChartOptions, axis: Axis, columns: int
) -> Line:
    """The mean of the curves of several runs, the first of which stands for them."""
    known = [curve for curve in curves if curve.has_points]
    mean, band = mean_curve(known, axis, columns, options.smoothing)
    values = [curve.value_at(options.cursor, options.smoothing) for curve in known]
    at_cursor = [value for value in values if value is not None]
    return Line(
        run_id,
        DrawnCurve(band, mean, None),
        statistics.fmean(at_cursor) if at_cursor else None,
        runs=len(known),
        deviation=deviation(at_cursor),
    )
