"""A canvas of cells for braille curves (drawn by plotext), marks and text, with one style per cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import Any

from workbench.ui.widgets.cell_grid import BLANK, Grid

DASH = 5
"""Period of a dashed line in cells; two of them stay empty."""
_BRAILLE = 0x2800
_LEFT, _RIGHT = (
    tuple(sum(dot for row, dot in enumerate(dots) if rows >> row & 1) for rows in range(16))
    for dots in ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))
)
"""The bits of a braille character for each set of its four rows of dots, of which bit 0 is the lowest."""


@cache
def _plotext() -> Any:
    """plotext, imported when the first curve is drawn (0.2 s). Only this module uses its global figure."""
    import plotext  # noqa: PLC0415

    plotext.terminal.limit(False, False)
    return plotext


_size = [0, 0]
"""The size that plotext's figure is set up for: setting it up takes longer than drawing."""


def _figure(width: int, height: int) -> Any:
    """plotext's figure, cleared, without axes, with one braille dot per unit."""
    figure = _plotext().figure
    if _size == [width, height]:
        figure.clear.data()
        return figure
    figure.clear.all()
    figure.plot_size(width, height)
    figure.canvas("default")
    figure.axes(False)
    for axis, dots in ((0, 2 * width), (1, 4 * height)):
        for side in (0, 1):
            figure.ruler(axis, side).frequency(0)
        figure.ruler(axis, 0).lim(0, dots)
        figure.ruler(axis, 0).alignment(lim="edge")
    _size[:] = width, height
    return figure


@lru_cache(32)
def braille(
    xs: tuple[float, ...], ys: tuple[float, ...], width: int, height: int, *, joined: bool
) -> tuple[str, ...]:
    """Rows of braille characters and spaces with a line through points, or the points alone.

    Cached, as most curves do not change between two refreshes.

    `xs` and `ys` are in dots from the lower left, 2 per cell across and 4 per cell up. They must be finite, or
    plotext's native code aborts the process.
    """
    if not xs or width < 1 or height < 1:
        return (" " * width,) * height
    figure = _figure(width, height)
    figure.draw(figure.signal([x + 0.5 for x in xs], [y + 0.5 for y in ys], marker="braille").lines(joined))
    rows = figure.build().string(colorless=True).split("\n")
    return tuple(row[:width].ljust(width) for row in rows[:height])


class Canvas:
    """Rows of cells, from the top. Where curves cross, a cell has the dots of both and the style of the later one."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.rows: Grid = [[BLANK] * width for _ in range(height)]

    def draw_curve(
        self, points: Iterable[tuple[float, float]], style: str, *, joined: bool, dashed: bool
    ) -> None:
        """Draw a curve or dots through points (0..1 across, 0..1 up; outside of that they are cut off)."""
        across, up = 2 * self.width - 1, 4 * self.height - 1
        xs, ys = [], []
        for x, y in points:
            if math.isfinite(x) and math.isfinite(y):
                xs.append(float(round(min(max(x * across, -across), 2 * across))))
                ys.append(float(round(min(max(y * up, -up), 2 * up))))
        for y, row in enumerate(braille(tuple(xs), tuple(ys), self.width, self.height, joined=joined)):
            for x, character in enumerate(row):
                if character > chr(_BRAILLE) and not (dashed and (x + 2 * y) % DASH >= DASH - 2):
                    self._merge(x, y, character, style)

    def draw_ranges(
        self, ranges: Iterable[tuple[float, float, float]], style: str, *, dashed: bool = False
    ) -> None:
        """Draw a curve through vertical ranges (x, low, high; 0..1 across and up): without gaps, none is cut short."""
        top, columns = 4 * self.height - 1, [0] * (2 * self.width)  # each a set of dots: bit 0 is the lowest
        for x, low, high in _joined(self._in_dots(ranges)):
            if 0 <= x < len(columns) and low <= top and high >= 0:
                bottom = max(0, low)
                columns[x] |= ((1 << (min(high, top) - bottom + 1)) - 1) << bottom
        for x in range(self.width):
            left, right = columns[2 * x], columns[2 * x + 1]
            for y in range(self.height - 1, -1, -1) if left or right else ():
                bits = _LEFT[left & 15] | _RIGHT[right & 15]
                if bits and not (dashed and (x + 2 * y) % DASH >= DASH - 2):
                    self._merge(x, y, chr(_BRAILLE + bits), style)
                left, right = left >> 4, right >> 4

    def _in_dots(self, ranges: Iterable[tuple[float, float, float]]) -> Iterator[tuple[int, int, int]]:
        across, up = 2 * self.width - 1, 4 * self.height - 1
        for x, low, high in ranges:
            if math.isfinite(x) and math.isfinite(high):  # a low end may have no position on a log axis
                bottom = low if math.isfinite(low) else min(0.0, high)
                yield (
                    round(min(max(x * across, -across), 2 * across)),
                    round(min(max(bottom * up, -up), 2 * up)),
                    round(min(max(high * up, -up), 2 * up)),
                )

    def _merge(self, x: int, y: int, character: str, style: str) -> None:
        before = ord(self.rows[y][x][0]) - _BRAILLE
        if 0 < before < 256:
            character = chr(ord(character) | before)
        self.rows[y][x] = (character, style)

    def write(self, x: int, y: int, text: str, style: str, *, overwrite: bool = True) -> None:
        """Write `text` starting at a cell; without `overwrite`, only into empty cells."""
        if 0 <= y < self.height:
            for column, character in enumerate(text, x):
                if 0 <= column < self.width and (overwrite or self.rows[y][column][0] == " "):
                    self.rows[y][column] = (character, style)

    def is_free(self, x: int, y: int, width: int) -> bool:
        """Whether `width` cells starting at (`x`, `y`) are inside the canvas and empty."""
        inside = 0 <= y < self.height and x >= 0 and x + width <= self.width
        return inside and all(cell[0] == " " for cell in self.rows[y][x : x + width])

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """The cell of a point (0..1 across, 0..1 up): column, and row from the top."""
        dot_x, dot_y = round(x * (2 * self.width - 1)), round(y * (4 * self.height - 1))
        return dot_x // 2, self.height - 1 - dot_y // 4


def _joined(ranges: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """The ranges with straight lines between them: each column touches the one before it."""
    before: tuple[int, int, int] | None = None
    for x, low, high in ranges:
        if before is None or x <= before[0]:
            yield x, low, high
        else:
            left, bottom, top = before
            start = min(max((low + high) / 2, bottom), top)  # the nearest dot of the column on the left
            end = min(max(start, low), high)
            slope, previous = (end - start) / (x - left), round(start)
            for column in range(left + 1, x + 1):
                y = round(start + slope * (column - left))
                lowest, highest = sorted((previous + (y > previous) - (y < previous), y))
                yield (column, lowest, highest) if column < x else (x, min(lowest, low), max(highest, high))
                previous = y
        before = x, low, high
