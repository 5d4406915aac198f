"""A canvas of cells for braille curves (drawn by plotext), marks and text, with one style per cell."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

from workbench.ui.widgets.cell_grid import BLANK, Grid

DASH = 5
"""Period of a dashed line in cells; two of them stay empty."""
_BRAILLE = 0x2800


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
