"""One metric of one run, reduced to what a chart of some width shows of it."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.charts.axes import Axis
from workbench.charts.point_index import PointIndex
from workbench.charts.run_metrics import Points
from workbench.runs.metric_direction import named_direction

SAMPLES_PER_COLUMN = 4
"""Smoothed values that are looked at for each column: neighbors hardly differ."""
INNER_SAMPLES, INNER_SHARE = 2000, 0.01
"""Values that percentiles are taken of, and the share of them that is left out at each end."""
RELATIVE_GAP = 1e-9
"""A cursor that was moved in cells may be this much of its position before a point that it stands on."""


@dataclass(frozen=True)
class Reduced:
    """For each column of a chart that has points: their x, and the range of their values."""

    xs: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]


class ChartCurve:
    """An indexed series with the x of a chart."""

    def __init__(self, index: PointIndex, points: Points, name: str) -> None:
        self._index, self._points, self._name = index, points, name

    @property
    def has_points(self) -> bool:
        """Whether a point is indexed."""
        return len(self._index) > 0

    @property
    def ends(self) -> tuple[float, float]:
        """The x of the first and of the last point."""
        return self._points.shown(self._index.x(0)), self._points.shown(self._index.x(len(self._index) - 1))

    def reduce(self, axis: Axis, columns: int) -> Reduced:
        """The range of the values in each of `columns` equal parts of the axis that has points.

        The limits of a part depend on the axis only, so that the drawing of old values does not change when new ones
        arrive.
        """
        index, points = self._index, self._points
        first, end = self._visible(axis)
        xs, lows, highs = [], [], []
        while first < end:
            x = points.shown(index.x(first))
            part = math.floor(axis.position(x) * columns + 1e-9) + 1
            after = end  # the last part has the end of the axis, too
            if part < columns:
                edge = points.recorded(axis.value_at(part / columns))
                after = max(first + 1, index.end_before(edge, first, end))
            low, high = index.extremes(first, after)
            if low <= high:
                xs.append((x + points.shown(index.x(after - 1))) / 2)
                lows.append(low)
                highs.append(high)
            first = after
        return Reduced(xs, lows, highs)

    def reduce_smoothed(self, axis: Axis, columns: int, factor: float) -> Reduced:
        """The last smoothed value in each of `columns` parts of the axis that has one."""
        positions, values = self._index.smoothed(factor)
        first, end = self._visible(axis)
        start, stop = bisect_left(positions, first), bisect_left(positions, end)
        step = max(1, (stop - start) // (SAMPLES_PER_COLUMN * columns))
        last: dict[int, tuple[float, float]] = {}
        for number in (*range(start, stop, step), *range(max(start, stop - 1), stop)):
            x = self._points.shown(self._index.x(positions[number]))
            last[math.floor(axis.position(x) * columns + 1e-9)] = x, values[number]
        ys = [y for _, y in last.values()]
        return Reduced([x for x, _ in last.values()], ys, ys)

    def value_at(self, x: float | None, smoothing: float = 0.0) -> float | None:
        """The last finite value at or before `x`, or of all; smoothed by a factor. `None` without one."""
        at = math.inf if x is None else self._points.recorded(x + abs(x) * RELATIVE_GAP)
        position = self._index.finite_before(at)
        if position is None:
            return None
        if smoothing:
            positions, values = self._index.smoothed(smoothing)
            if number := bisect_right(positions, position):
                return values[number - 1]
        return self._index.y(position)

    def best(self) -> tuple[float, float] | None:
        """The point with the best value, if the metric's name shows which values are better."""
        lower = named_direction(self._name)
        if lower is None:
            return None
        low, high = self._index.extremes(0, len(self._index))
        value = low if lower else high
        position = self._index.position_of(value, "lows" if lower else "highs") if low <= high else None
        return None if position is None else (self._points.shown(self._index.x(position)), value)

    def inner_range(self, axis: Axis) -> tuple[float, float] | None:
        """The 1st and the 99th percentile of the values on an axis: of evenly spaced ones, if there are many."""
        first, end = self._visible(axis)
        step = max(1, (end - first) // INNER_SAMPLES)
        values = sorted(value for i in range(first, end, step) if math.isfinite(value := self._index.y(i)))
        cut = round(INNER_SHARE * (len(values) - 1))
        return (values[cut], values[-1 - cut]) if values else None

    def _visible(self, axis: Axis) -> tuple[int, int]:
        return self._index.range(self._points.recorded(axis.low), self._points.recorded(axis.high))
