"""How curves are drawn: smoothing, axes, zoom and cursor, the same wherever runs are plotted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from workbench.charts.axes import Axis, Scale, fit_axis, fraction_axis
from workbench.core.text import format_compact

MetricKind = Literal["amount", "share", "free"]
"""`amount`: from 0 up; `share`: between 0 and 1; `free`: any range."""
SMOOTHING = (0.0, 0.6, 0.9)
MIN_WINDOW = 1 / 4096
"""The smallest part of the x axis that can be zoomed to."""


@dataclass(frozen=True)
class PlotOptions:
    """How the curves are drawn; keys change it."""

    smoothing: float = 0.0
    band: bool = False
    log: Literal["off", "y", "xy"] = "off"
    window: tuple[float, float] | None = None
    """The visible range of epochs; `None`: all."""
    cursor: float | None = None
    """The epoch whose values the title shows; `None`: the newest."""

    @property
    def labels(self) -> list[str]:
        """What differs from a plain plot: `smooth .6`, `log y`, `zoomed`."""
        parts = [
            f"smooth {format_compact(self.smoothing)}" if self.smoothing else "",
            "spread" if self.band else "",
            {"off": "", "y": "log y", "xy": "log x y"}[self.log],
            "" if self.window is None else "zoomed",
        ]
        return [part for part in parts if part]

    def next_smoothing(self) -> PlotOptions:
        """With more smoothing; after the strongest without."""
        index = SMOOTHING.index(self.smoothing)
        return replace(self, smoothing=SMOOTHING[(index + 1) % len(SMOOTHING)])

    def next_log(self) -> PlotOptions:
        """With the next logarithmic axes: none, y, both."""
        following: dict[str, Literal["off", "y", "xy"]] = {"off": "y", "y": "xy", "xy": "off"}
        return replace(self, log=following[self.log])

    def x_axis(self, end: float, first: float) -> Axis:
        """The zoomed window if there is one, else from 0 to `end`; `first` is the first value, for a log axis."""
        scale: Scale = "log" if self.log == "xy" else "linear"
        low, high = self.window or (0.0, end)
        if scale == "log":
            low = max(low, min(first or 1.0, high / 10), high / 1e5)
        return Axis(low, high, scale)

    def zoomed(self, factor: float, end: float, last: float) -> PlotOptions:
        """The visible range times `factor`, around the cursor, else up to the value `last`; at most 0 to `end`."""
        window = self.window or (0.0, end)
        width = (window[1] - window[0]) * factor
        if width >= end:
            return replace(self, window=None)
        if width < end * MIN_WINDOW:
            return self
        position = 0.0 if self.cursor is None else (self.cursor - window[0]) / (window[1] - window[0])
        low = last - width if self.cursor is None else self.cursor - width * position
        low = min(max(0.0, low), end - width)
        return replace(self, window=(low, low + width))

    def with_cursor(self, epoch: float) -> PlotOptions:
        """With the cursor at an epoch, and the zoomed window moved there if that epoch is outside."""
        window = self.window
        if window is not None and not window[0] <= epoch <= window[1]:
            width = window[1] - window[0]
            low = max(0.0, epoch - width / 2)
            window = (low, low + width)
        return replace(self, cursor=epoch, window=window)

    def stepped(self, cells: int, axis: Axis, columns: int, first: float, last: float) -> PlotOptions:
        """With the cursor moved by `cells` of `columns`; past `last` without one, so that the plot follows again."""
        if self.cursor is None and cells > 0:
            return self
        start = max(axis.low, last if self.cursor is None else self.cursor)  # zero isn't on a log axis
        target = axis.value_at(axis.position(start) + cells / columns)
        return self.following(last) if target > last else self.with_cursor(max(target, first))

    def following(self, last: float) -> PlotOptions:
        """Without a cursor, and the zoomed window at the newest value."""
        return replace(self, cursor=None).advanced(last)

    def advanced(self, last: float) -> PlotOptions:
        """Without a cursor, a zoomed window moves on with the newest value, by quarters, to redraw rarely."""
        if self.window is None or self.cursor is not None or last <= self.window[1]:
            return self
        low, high = self.window
        step = (high - low) / 4
        moved = -(-(last - high) // step) * step
        return replace(self, window=(low + moved, high + moved))

    def y_scale(self, kind: MetricKind) -> Scale:
        """The scale of the y axis of a metric of this kind."""
        if self.log == "off" or kind == "free":
            return "linear"
        return "nines" if kind == "share" else "log"

    def y_axis(self, kind: MetricKind, values: Sequence[float], previous: Axis | None = None) -> Axis:
        """An axis for the drawn values; `previous` is kept while it fits. A few high spikes are cut off."""
        scale = self.y_scale(kind)
        if kind == "share":
            return fraction_axis(values, previous, scale)
        if kind == "free":
            return fit_axis([max(value, -1.0) for value in values], previous)
        if scale == "linear" and self.window is None:
            return fit_axis([0.0, *values], previous)
        return fit_axis(values, previous, scale)


def clipped_note(kind: MetricKind, values: Sequence[float], axis: Axis) -> str:
    """`↑ max 512`: the spike that the axis cuts off; empty if there is none.

    The axis of a `share` leaves out only its low start, which its labels tell.
    """
    if kind == "share" or not values:
        return ""
    if max(values) > axis.high * (1 + 1e-9):
        return f"↑ max {format_compact(max(values))}"
    return f"↓ min {format_compact(min(values))}" if kind == "free" and min(values) < axis.low - 1e-9 else ""
