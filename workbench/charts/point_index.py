"""The points of a growing series, found by x and summarized without visiting each of them.

Blocks of points are summarized once; a chart of any width then needs a few blocks for each of its columns, and no
minimum or maximum is lost. The points themselves are not copied unless they go back in x.
"""

from __future__ import annotations

import math
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, compress
from typing import Literal

BLOCK = 64
"""Points in a block, and blocks in a group."""
POINTS_AT_ONCE = 4_096
MAX_SMOOTHED_POINTS = 65_536
"""A longer series is smoothed over the means of its blocks: one pass over all points would delay the keys."""


class PointIndex:
    """The finite points of a series in ascending order of x: points that go back in x are left out."""

    def __init__(self) -> None:
        self._source: object = None
        self._clear()

    def _clear(self) -> None:
        self._xs: Sequence[float] = ()
        self._ys: Sequence[float] = ()
        self._copied = False
        """Whether the points are copies, because some of the source had to be left out."""
        self._consumed = 0
        """Points of the source that were looked at."""
        self._all_finite = True
        self._lows, self._highs = array("d"), array("d")
        self._sums, self._counts = array("d"), array("d")
        self._group_lows, self._group_highs = array("d"), array("d")
        self._average: _MovingAverage | None = None

    def __len__(self) -> int:
        """The points that were indexed."""
        return len(self._ys) if self._copied else self._consumed

    def update(self, xs: Sequence[float], ys: Sequence[float], deadline: float = math.inf) -> bool:
        """Index more points of a source that has grown, until `time.monotonic()` is `deadline`; whether there are more.

        Starts over with another source, or one that has shrunk.
        """
        count = min(len(xs), len(ys))
        if ys is not self._source or count < self._consumed:
            self._clear()
            self._source = ys
            self._xs, self._ys = xs, ys
        while self._consumed < count:
            self._add(xs, ys, min(count, self._consumed + POINTS_AT_ONCE))
            if time.monotonic() >= deadline:
                break
        return self._consumed < count

    def _add(self, xs: Sequence[float], ys: Sequence[float], end: int) -> None:
        """Index the points up to `end`."""
        if not self._copied and not _is_ascending(xs[max(0, self._consumed - 1) : end]):
            self._copy()
        new = ys[self._consumed : end]
        self._all_finite = self._all_finite and math.isfinite(sum(new))
        if self._copied:
            self._append_ascending(xs[self._consumed : end], new)
        self._consumed = end
        self._summarize_blocks()

    def _copy(self) -> None:
        xs, ys = array("d", self._xs[: self._consumed]), array("d", self._ys[: self._consumed])
        self._xs, self._ys, self._copied = xs, ys, True

    def _append_ascending(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        last = self._xs[-1] if self._xs else -math.inf
        for x, y in zip(xs, ys, strict=True):
            if x >= last and math.isfinite(x):
                last = x
                self._xs.append(x)  # type: ignore[attr-defined]  # a copy is an array
                self._ys.append(y)  # type: ignore[attr-defined]

    def _summarize_blocks(self) -> None:
        for start in range(len(self._lows) * BLOCK, len(self) - BLOCK + 1, BLOCK):
            values = self._ys[start : start + BLOCK]
            total = sum(values)
            if not math.isfinite(total):
                values = [value for value in values if math.isfinite(value)]
                total = sum(values)
            self._lows.append(min(values, default=math.inf))
            self._highs.append(max(values, default=-math.inf))
            self._sums.append(total)
            self._counts.append(len(values))
        for start in range(len(self._group_lows) * BLOCK, len(self._lows) - BLOCK + 1, BLOCK):
            self._group_lows.append(min(self._lows[start : start + BLOCK]))
            self._group_highs.append(max(self._highs[start : start + BLOCK]))

    def range(self, low: float, high: float) -> tuple[int, int]:
        """The first point from `low` on, and the end of those up to `high`."""
        end = len(self)
        first = bisect_left(self._xs, low, 0, end)
        return first, bisect_right(self._xs, high, first, end)

    def end_before(self, x: float, first: int, end: int) -> int:
        """The first point from `first` on that is not below `x`; `end` without one."""
        return bisect_left(self._xs, x, first, end)

    def x(self, position: int) -> float:
        """The x of a point."""
        return self._xs[position]

    def y(self, position: int) -> float:
        """The value of a point; it may be NaN or infinite."""
        return self._ys[position]

    def extremes(self, first: int, end: int) -> tuple[float, float]:
        """The lowest and highest finite value of the points from `first` to before `end`; `inf, -inf` without one."""
        left, right = -(-first // BLOCK), end // BLOCK
        if left >= right:
            values = self._ys[first:end]
            return self._range_of(values, values)
        lows, highs = [], []
        edges = [*self._ys[first : left * BLOCK], *self._ys[right * BLOCK : end]]
        group_left, group_right = -(-left // BLOCK), right // BLOCK
        if group_left < group_right:
            lows += [*self._lows[left : group_left * BLOCK], *self._group_lows[group_left:group_right]]
            highs += [*self._highs[left : group_left * BLOCK], *self._group_highs[group_left:group_right]]
            left = group_right * BLOCK
        return self._range_of(
            [*lows, *self._lows[left:right], *edges], [*highs, *self._highs[left:right], *edges]
        )

    def _range_of(self, lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float]:
        if not self._all_finite:
            lows = [value for value in lows if math.isfinite(value)]
            highs = [value for value in highs if math.isfinite(value)]
        return min(lows, default=math.inf), max(highs, default=-math.inf)

    def finite_before(self, x: float) -> int | None:
        """The last point at or before `x` whose value is finite; `None` without one."""
        position = bisect_right(self._xs, x, 0, len(self))
        while position > 0:
            position -= 1
            if math.isfinite(self._ys[position]):
                return position
        return None

    def position_of(self, value: float, column: Literal["lows", "highs"]) -> int | None:
        """The first point with this value, a lowest or highest one of its block."""
        blocks = self._lows if column == "lows" else self._highs
        try:
            start = blocks.index(value) * BLOCK
        except ValueError:
            start = len(blocks) * BLOCK
        near = self._ys[start : min(start + BLOCK, len(self))]
        return start + list(near).index(value) if value in near else None

    def smoothed(self, factor: float) -> tuple[Sequence[int], Sequence[float]]:
        """An exponential moving average with bias correction: positions of points and its value there.

        It goes over all points, so that a zoom does not move it, and new points do not move old ones.
        """
        over_blocks, average = len(self) > MAX_SMOOTHED_POINTS, self._average
        if average is None or (average.factor, average.over_blocks) != (factor, over_blocks):
            average = self._average = _MovingAverage(factor, over_blocks=over_blocks)
        start = average.consumed
        if over_blocks:
            new = zip(self._sums[start:], self._counts[start:], strict=True)
            means = [total / count if count else math.nan for total, count in new]
            average.extend(range(start * BLOCK + BLOCK - 1, len(self._sums) * BLOCK, BLOCK), means)
        else:
            average.extend(range(start, len(self)), self._ys[start : len(self)])
        return average.positions, average.values


class _MovingAverage:
    """An exponential moving average over points, or over the means of blocks, that grows with them."""

    def __init__(self, factor: float, *, over_blocks: bool) -> None:
        self.factor, self.over_blocks = factor, over_blocks
        self._decay = factor**BLOCK if over_blocks else factor
        self.consumed = 0
        """Values that were looked at."""
        self.positions, self.values = array("q"), array("d")
        self._mean = 0.0

    def extend(self, positions: Sequence[int], values: Sequence[float]) -> None:
        """Add the values at these positions; those that are not finite are left out."""
        decay, before = self._decay, len(self.positions)
        self.consumed += len(values)
        finite = [math.isfinite(value) for value in values]
        self.positions.extend(compress(positions, finite))
        kept = compress(values, finite)
        means = list(
            accumulate(kept, lambda mean, value: decay * mean + (1 - decay) * value, initial=self._mean)
        )
        self._mean = means[-1]
        self.values.extend(mean / (1 - decay ** (before + count)) for count, mean in enumerate(means[1:], 1))


def _is_ascending(xs: Sequence[float]) -> bool:
    """Whether no x is below the one before it, and none is NaN or infinite."""
    values = list(xs)
    return math.isfinite(sum(values)) and values == sorted(values)
