"""How charts are drawn: what the x axis counts, its visible part, the cursor, logarithmic axes and smoothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from workbench.charts.axes import Axis, Unit, format_clock, format_seconds
from workbench.charts.run_metrics import XKind
from workbench.core.text import format_compact

SMOOTHING = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""The factors that the keys step through."""
MIN_WINDOW = 1 / 4096
"""The smallest part of the x axis that can be zoomed to."""
UNITS: Mapping[XKind, Unit] = {XKind.RELATIVE: "duration", XKind.WALL: "time of day"}

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
    outliers: bool = False
    """Whether the y axis spans all values, even a few far above the others."""
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
            "with outliers" if self.outliers else "",
            "" if self.window is None else "zoomed",
        ]
        return [part for part in parts if part]

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
        target = max(target, extent.low)
        window = self.window
        if window is not None and not window[0] <= target <= window[1]:
            width = window[1] - window[0]
            low = min(max(extent.low, target - width / 2), extent.high - width)
            window = (low, low + width)
        return replace(self, cursor=target, window=window)
