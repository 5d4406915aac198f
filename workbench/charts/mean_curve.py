"""The mean of a metric over repeats, with a band of one standard deviation on both sides."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from workbench.charts.axes import Axis
from workbench.charts.chart_curve import ChartCurve, Reduced


def mean_curve(
    curves: Sequence[ChartCurve], axis: Axis, columns: int, smoothing: float
) -> tuple[Reduced, Reduced]:
    """The mean of some curves at the x of the one with the most points, and the band around it.

    Where only some of the runs have values, as one is further along, the mean is theirs; a single value has no band.
    """
    ends = [curve.ends for curve in curves]
    xs = max((curve.reduce(axis, columns).xs for curve in curves), key=len, default=())
    kept, means, lows, highs = [], [], [], []
    for x in xs:
        values = [
            value
            for curve, (first, last) in zip(curves, ends, strict=True)
            if first <= x <= last and (value := curve.value_at(x, smoothing)) is not None
        ]
        if values:
            mean, sd = statistics.fmean(values), deviation(values) or 0.0
            kept.append(x)
            means.append(mean)
            lows.append(mean - sd)
            highs.append(mean + sd)
    return Reduced(kept, means, means), Reduced(kept, lows, highs)


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample; `None` of a single value."""
    return statistics.stdev(values) if len(values) > 1 else None
