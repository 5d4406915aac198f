"""How charts are drawn: what the x axis counts, its visible part, the cursor, logarithmic axes and smoothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from workbench.charts.axes import Axis, Unit, format_clock, format_seconds
from workbench.charts.run_metrics import XKind
from workbench.core.errors import UserError
from workbench.core.text import format_compact

SMOOTHING = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""The factors that the keys step through."""
MIN_WINDOW = 1 / 4096
"""The smallest part of the x axis that can be zoomed to."""
UNITS: Mapping[XKind, Unit] = {XKind.RELATIVE: "duration", XKind.WALL: "time of day"}

YSpan = Literal["usual", "all", "inner"]
ALL_METRICS = ""
"""Stands for all metrics without a fixed y axis of their own."""
LogAxes = Literal["off", "y", "xy"]
_NEXT_LOG: Mapping[LogAxes, LogAxes] = {"off": "y", "y": "xy", "xy": "off"}


@dataclass(frozen=True)
class Extent:
    """The range of x in which there are points, and the first one above 0, for a log axis."""

    low: float = 0.0
    high: float = 1.0
    positive: float = 1.0


@dataclass(frozen=True)
class ChartOptions:
    """How all charts are drawn; keys and options of the command line change it."""

    x: XKind = XKind.STEP
    smoothing: float = 0.0
    log: LogAxes = "off"
    span: YSpan = "usual"
    """The values that the y axis spans: all but a few far above the others, all, or the 1st to the 99th percentile."""
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The fixed y axes of metrics by their names; that of `ALL_METRICS` is of all others."""
    window: tuple[float, float] | None = None
    """The visible range of x; `None`: all."""
    cursor: float | None = None
    """The x whose values are shown; `None`: the newest."""

    @property
    def labels(self) -> list[str]:
        """What differs from plain charts: `smooth .6`, `log y`, `zoomed`."""
        parts = [
            "" if self.x is XKind.STEP else f"by {self.x}",
            f"smooth {format_compact(self.smoothing)}" if self.smoothing else "",
            {"off": "", "y": "log y", "xy": "log x y"}[self.log],
            {"usual": "", "all": "with outliers", "inner": "without outliers"}[self.span],
            "" if self.window is None else "zoomed",
        ]
        return [part for part in parts if part]

    def limits_of(self, metric: str) -> tuple[float, float] | None:
        """The fixed y axis of a metric; `None` if it follows the values."""
        return self.limits.get(metric, self.limits.get(ALL_METRICS))

    def with_limits(self, metric: str, limits: tuple[float, float] | None) -> ChartOptions:
        """With a fixed y axis of a metric, or with one that follows the values."""
        others = {name: fixed for name, fixed in self.limits.items() if name != metric}
        return replace(self, limits=others if limits is None else {**others, metric: limits})

    @property
    def cursor_label(self) -> str:
        """The position of the cursor: `step 4928`, `1h20`; empty without one."""
        if self.cursor is None:
            return ""
        timed = self.x in {XKind.RELATIVE, XKind.WALL}
        return self.format_x(self.cursor) if timed else f"{self.x} {self.format_x(self.cursor)}"

    def format_x(self, x: float) -> str:
        """A position on the x axis as text."""
        if self.x is XKind.WALL:
            return format_clock(round(x))
        if self.x is XKind.RELATIVE:
            return format_seconds(x)
        return f"{x:.0f}" if self.x is XKind.STEP else f"{x:.4g}"

    def with_next_x(self) -> ChartOptions:
        """By the next of step, epoch, relative time, wall time; cursor and zoom mean nothing there."""
        kinds = list(XKind)
        following = kinds[(kinds.index(self.x) + 1) % len(kinds)]
        return replace(self, x=following, window=None, cursor=None)

    def with_next_span(self) -> ChartOptions:
        """With the y axis over all values, then without outliers, then the usual one."""
        spans = get_args(YSpan)
        return replace(self, span=spans[(spans.index(self.span) + 1) % len(spans)])

    def with_next_log(self) -> ChartOptions:
        """With the next logarithmic axes: none, y, both."""
        return replace(self, log=_NEXT_LOG[self.log])

    def smoothed(self, by: int) -> ChartOptions:
        """With the smoothing `by` steps stronger or weaker."""
        current = next((i for i, factor in enumerate(SMOOTHING) if factor >= self.smoothing), 0)
        return replace(self, smoothing=SMOOTHING[min(max(0, current + by), len(SMOOTHING) - 1)])

    def x_axis(self, extent: Extent) -> Axis:
        """The visible part of the x axis."""
        low, high = self.window or (extent.low, extent.high)
        if self.log == "xy" and self.x is not XKind.WALL:
            low = max(low, min(extent.positive, high / 10), high / 1e6)
            return Axis(low, high, "log", UNITS.get(self.x, "number"))
        return Axis(low, high, "linear", UNITS.get(self.x, "number"))

    def zoomed(self, factor: float, extent: Extent) -> ChartOptions:
        """The visible range times `factor`, around the cursor, else up to the newest values; at most all."""
        low, high = self.window or (extent.low, extent.high)
        whole, width = extent.high - extent.low, (high - low) * factor
        if width >= whole:
            return replace(self, window=None)
        if width < whole * MIN_WINDOW:
            return self
        share = 1.0 if self.cursor is None else (self.cursor - low) / (high - low)
        center = high if self.cursor is None else self.cursor
        low = min(max(extent.low, center - width * share), extent.high - width)
        return replace(self, window=(low, low + width))

    def panned(self, share: float, extent: Extent) -> ChartOptions:
        """With the visible range moved by a share of its width."""
        if self.window is None:
            return self
        width = self.window[1] - self.window[0]
        low = min(max(extent.low, self.window[0] + share * width), extent.high - width)
        return replace(self, window=(low, low + width))

    def stepped(self, cells: int, columns: int, extent: Extent) -> ChartOptions:
        """With the cursor moved by `cells` of `columns`; past the end without one: the newest values are shown."""
        if self.cursor is None and cells > 0:
            return self
        axis = self.x_axis(extent)
        start = extent.high if self.cursor is None else self.cursor
        target = axis.value_at(axis.position(max(start, axis.low)) + cells / columns)
        if target > extent.high:
            return replace(self, cursor=None)
        return self.stepped_to(max(target, extent.low), extent)

    def stepped_to(self, target: float, extent: Extent) -> ChartOptions:
        """With the cursor at `target`, and a window around it where there is one without it."""
        window = self.window
        if window is not None and not window[0] <= target <= window[1]:
            width = window[1] - window[0]
            low = min(max(extent.low, target - width / 2), extent.high - width)
            window = (low, low + width)
        return replace(self, cursor=target, window=window)


def parse_limits(text: str) -> tuple[float, float]:
    """A fixed range typed as `lo..hi` (`0..1`, `-2 .. 1e3`). Raises `UserError`."""
    low, dots, high = text.partition("..")
    try:
        limits = float(low), float(high)
    except ValueError:
        limits = math.nan, math.nan
    if not dots or not (-math.inf < limits[0] < limits[1] < math.inf):
        raise UserError(f"a range is typed as LOW..HIGH, for example 0..1, not '{text}'")
    return limits


def format_limits(limits: tuple[float, float]) -> str:
    """`0..1`: what `parse_limits` reads."""
    return f"{limits[0]:g}..{limits[1]:g}"
