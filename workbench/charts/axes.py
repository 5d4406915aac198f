"""Axes with round ends, and long curves reduced to a point per column."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from workbench.core.text import format_compact, format_duration

Scale = Literal["linear", "log", "nines"]
Unit = Literal["number", "count", "duration", "time of day"]
"""What the values of a linear axis are: whole numbers are counts; of the last two, seconds (since 1970)."""

MAX_VALUE = 1e9
"""Larger absolute values are left out: in a prefix sum they would leave no digits for the others."""
NINES_LIMIT = 1e-4
"""The nines scale ends at 1 minus this, so that an accuracy of exactly 1 has a position."""
MIN_VALUES_BESIDE_SPIKE = 6
"""Of fewer values none is cut off."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TIME_STEPS = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10_800,
    21_600,
    43_200,
    86_400,
)
"""Round durations in seconds."""
_FLOORS = (0.98, 0.95, 0.9, 0.8, 0.5)


@dataclass(frozen=True)
class Axis:
    """The range of an axis and its scale. `nines` is logarithmic towards 1: .9, .99, .999 are equally spaced."""

    low: float
    high: float
    scale: Scale = "linear"
    unit: Unit = "number"

    def position(self, value: float) -> float:
        """The position of `value`: 0 at the low end, 1 at the high end; outside this range for values off the axis.

        NaN for what has no position: zero and less on a log axis.
        """
        low, high = _scaled(self.low, self.scale), _scaled(self.high, self.scale)
        return (_scaled(value, self.scale) - low) / (high - low) if high > low else 0.0

    def positions(self, values: Sequence[float]) -> list[float]:
        """The position of each of many values."""
        if self.scale != "linear" or self.high <= self.low:
            return [self.position(value) for value in values]
        low, span = self.low, self.high - self.low
        return [(value - low) / span for value in values]

    def value_at(self, position: float) -> float:
        """The value at a position: the inverse of `position`."""
        low, high = _scaled(self.low, self.scale), _scaled(self.high, self.scale)
        return _unscaled(low + position * (high - low), self.scale)

    def contains(self, value: float) -> bool:
        """Whether `value` lies on the axis."""
        return self.low <= value <= self.high

    def ticks(self, count: int) -> list[float]:
        """Round values on the axis, about `count` at most."""
        if self.scale == "linear":
            step = (self.high - self.low) / max(1, count)
            if self.unit == "count":
                return _multiples(self.low, self.high, _whole_step(step))
            if self.unit == "number":
                return _multiples(self.low, self.high, nice_step(step))
            return _time_ticks(self.low, self.high, step, local=self.unit == "time of day")
        if self.scale == "nines":
            nines = [1 - 10.0**-power for power in range(1, 4)]
            return [self.low, *(value for value in nines if self.low < value <= self.high)]
        return _decades(self.low, self.high, count)

    def labels(self, ticks: Sequence[float]) -> list[str]:
        """The labels of `ticks`: with equal decimals on a linear axis, else each as short as possible."""
        if self.unit == "time of day":
            return [format_clock(tick) for tick in ticks]
        if self.unit == "duration":
            return [format_seconds(tick) for tick in ticks]
        if self.scale == "linear":
            return tick_labels(ticks)
        return [f"{t:.4g}".replace("0.", ".", 1) if 1e-3 <= t < 1e4 else format_compact(t) for t in ticks]


def _scaled(value: float, scale: Scale) -> float:
    if scale == "linear":
        return value
    if scale == "log":
        return math.log10(value) if value > 0 else math.nan
    return -math.log10(max(1 - value, NINES_LIMIT))


def _unscaled(value: float, scale: Scale) -> float:
    if scale == "linear":
        return value
    return float(10.0**value) if scale == "log" else float(1 - 10.0**-value)


def _multiples(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _time_ticks(low: float, high: float, step: float, *, local: bool) -> list[float]:
    """Multiples of a round duration of at least `step` seconds; `local`: from midnight, not from 0."""
    whole = next((seconds for seconds in _TIME_STEPS if seconds >= step), 86_400 * nice_step(step / 86_400))
    zone = datetime.fromtimestamp(low).astimezone().utcoffset() if local else None
    shift = zone.total_seconds() if zone else 0.0
    return [tick - shift for tick in _multiples(low + shift, high + shift, whole)]


def format_seconds(seconds: float) -> str:
    """A duration; below ten seconds with a decimal, if it has one."""
    return f"{round(seconds, 1):g}s" if 0 <= seconds < 10 else format_duration(seconds)


def format_clock(seconds: float) -> str:
    """The time of day of a moment; at midnight the day."""
    moment = datetime.fromtimestamp(seconds)
    if (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return f"{moment:%m-%d}"
    return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"


def _decades(low: float, high: float, count: int) -> list[float]:
    """Powers of ten, with their twos and fives where there is room."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1,)):
        ticks = [f * 10.0**p for p in powers for f in factors if low <= f * 10.0**p <= high * 1.0001]
        if len(ticks) <= count + 1:
            return ticks
    return ticks[:: max(1, -(-len(ticks) // max(1, count)))]


def nice_step(step: float) -> float:
    """`step` rounded up to 1, 2, 2.5 or 5 times a power of ten."""
    if not (step > 0 and math.isfinite(step)):
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * s for s in _STEPS if power * s >= step * (1 - 1e-9))


def _whole_step(step: float) -> float:
    """A round whole number, `step` or more."""
    nice = nice_step(max(step, 1.0))
    return nice if nice.is_integer() else nice_step(2 * nice)


def doubling_end(reached: float, planned: float | None) -> float:
    """The end of the x axis: the next of 1, 2, 4, … from `reached` on, but at most `planned`."""
    end = 1.0
    while end < reached:
        end *= 2
    return end if planned is None or planned < reached else min(end, max(planned, 1e-9))


def fit_axis(
    values: Sequence[float], before: Axis | None = None, scale: Scale = "linear", *, cut_spikes: bool = True
) -> Axis:
    """An axis for `values` with round ends; `before` is kept while it holds them and they fill it well.

    Begins at 0 unless the values are far from it. A few high spikes are cut off, if `cut_spikes`.
    """
    if not values:
        return before or Axis(0.0, 1.0)
    if scale == "log":  # here spikes hide nothing
        return _log_axis(min((v for v in values if v > 0), default=1e-3), max(values))
    low, high = min(values), _high_without_spikes(values) if cut_spikes else max(values)
    if 0 <= low < 0.5 * high or 0 < low == high:
        low = 0.0
    if before and before.scale == "linear" and before.low <= low and high <= before.high:
        used = (high - low) / (before.high - before.low)
        if used >= 0.4:
            return before
    step = nice_step(max(high - low, abs(high) * 1e-3, 1e-9) / 5)
    top = math.ceil(high / step - 1e-9) * step
    bottom = math.floor(low / step + 1e-9) * step
    return Axis(round(bottom, 12), round(max(top, bottom + step), 12))


def _high_without_spikes(values: Sequence[float]) -> float:
    """The highest value, or a lower end if only a thirtieth of the values (at least one) is far above the others.

    How far depends on their number: one of few values may be the first of a curve that falls steeply.
    """
    high = max(values)
    if len(values) < MIN_VALUES_BESIDE_SPIKE:
        return high
    usual, factor = sorted(values)[-1 - max(1, len(values) // 30)], 4 if len(values) >= 60 else 10
    return usual * 2 if usual > 0 and high > factor * usual else high


def _log_axis(low: float, high: float) -> Axis:
    bottom = 10.0 ** math.floor(math.log10(max(low, 1e-12)))
    top = 10.0 ** math.ceil(math.log10(max(high, bottom * 10)) - 1e-9)
    return Axis(bottom, top, "log")


def fraction_axis(values: Sequence[float], before: Axis | None = None, scale: Scale = "linear") -> Axis:
    """An axis for fractions from 0 to 1: begins at 0, or at .5, .8, .9, … once nearly all values are above."""
    if scale == "nines":
        return Axis(0.0, 1 - NINES_LIMIT, "nines")
    usual = sorted(values)[len(values) // 10] if values else 0.0
    low = next((floor for floor in _FLOORS if usual >= floor + (1 - floor) * 0.2), 0.0)
    if before and before.scale == "linear" and before.low in {0.0, *_FLOORS} and before.low < low:
        # Raise the low end only when that is clearly better, so that it does not alternate.
        low = low if usual >= low + (1 - low) * 0.3 else before.low
    return Axis(low, 1.0)


@dataclass(frozen=True)
class ReducedCurve:
    """A reduced curve: means of groups of values, and the lowest and highest value of each group."""

    xs: list[float]
    ys: list[float]
    lows: list[float]
    highs: list[float]


class Curve:
    """A growing series that is updated with new points only, and can be reduced without visiting every point.

    A prefix sum makes the mean of any range one subtraction. Points that are not finite, beyond `MAX_VALUE`, or
    go back in x are left out.
    """

    def __init__(self) -> None:
        self._source: object = None
        self._clear()

    def _clear(self) -> None:
        self.xs = array("d")
        self.ys = array("d")
        self._sums = array("d", [0.0])
        self._consumed = 0

    def __len__(self) -> int:
        return len(self.xs)

    def update(self, xs: Sequence[float], ys: Sequence[float], source: object) -> None:
        """Append the points since the last call; start over when `source` is another object."""
        count = min(len(xs), len(ys))
        if source is not self._source or count < self._consumed:
            self._clear()
            self._source = source
        self.extend(xs[self._consumed : count], ys[self._consumed : count])
        self._consumed = count

    def extend(self, xs: Iterable[float], ys: Iterable[float]) -> None:
        """Append points."""
        last = self.xs[-1] if self.xs else -math.inf
        total = self._sums[-1]
        for x, y in zip(xs, ys, strict=True):
            if x >= last and -MAX_VALUE <= y <= MAX_VALUE:
                last = x
                total += y
                self.xs.append(x)
                self.ys.append(y)
                self._sums.append(total)

    def nearest(self, x: float) -> tuple[float, float] | None:
        """The last point at or before `x`, else the first."""
        if not self.xs:
            return None
        index = max(0, bisect_right(self.xs, x) - 1)
        return self.xs[index], self.ys[index]

    def reduce(self, axis: Axis, columns: int, *, with_range: bool = False) -> ReducedCurve:
        """At most one point for each of `columns` equal parts of the axis: the mean of the values in it.

        The limits of a part depend on the axis only, so that the drawing of old values does not change when new
        ones arrive. `lows` and `highs` are filled only if `with_range`.
        """
        xs, ys, sums = self.xs, self.ys, self._sums
        first, end = bisect_left(xs, axis.low), bisect_right(xs, axis.high)
        reduced = ReducedCurve([], [], [], [])
        before = first
        while first < end:
            part = int(axis.position(xs[first]) * columns + 1e-9)
            after = min(end, max(first + 1, bisect_left(xs, axis.value_at((part + 1) / columns), first)))
            if after == end and 2 * (after - first) < first - before:
                # An incomplete last part is merged into the one before: the mean of a step or two is too noisy.
                first = before
                for column in (reduced.xs, reduced.ys, reduced.lows, reduced.highs):
                    del column[-1:]
            before = first
            reduced.xs.append((xs[first] + xs[after - 1]) / 2)
            reduced.ys.append((sums[after] - sums[first]) / (after - first))
            if with_range:
                reduced.lows.append(min(ys[first:after]))
                reduced.highs.append(max(ys[first:after]))
            first = after
        return reduced


def smooth(values: Sequence[float], factor: float) -> list[float]:
    """An exponential moving average with bias correction, as in TensorBoard; `factor` 0 returns the values."""
    if factor <= 0:
        return list(values)
    smoothed, mean, weight = [], 0.0, 0.0
    for value in values:
        mean = factor * mean + (1 - factor) * value
        weight = factor * weight + (1 - factor)
        smoothed.append(mean / weight)
    return smoothed


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Labels of at most six cells, with as many decimals as the ticks need: `0.0 .5 1.0`, `0 25e-6`."""
    if any(0 < abs(t) < 0.001 or abs(t) >= 100_000 for t in ticks):
        return [_exponential(t) for t in ticks]
    decimals = next((d for d in range(4) if all(abs(round(t, d) - t) < 1e-9 for t in ticks)), 4)
    labels = [f"{t:.{decimals}f}" for t in ticks]
    return [
        label.replace("0.", ".", 1) if abs(t) < 1 and t else label
        for t, label in zip(ticks, labels, strict=True)
    ]


def _exponential(value: float) -> str:
    """`1e-4`, `25e-6`: an integer mantissa, so that three digits fit."""
    if value == 0:
        return "0"
    mantissa, _, power = f"{value:.2e}".partition("e")
    digits = mantissa.replace(".", "").rstrip("0")
    decimals = len(digits.lstrip("-")) - 1
    return f"{digits}e{int(power) - decimals}"
