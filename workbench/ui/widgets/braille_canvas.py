"""A grid of cells to draw on: braille curves (by plotext), marks and text, each cell with one style."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

from workbench.ui.widgets.cell_grid import BLANK, Grid

DASH = 5
"""A dashed line leaves out two cells of five along rows, columns and diagonals."""
_BRAILLE = 0x2800


@cache
def _plotext() -> Any:
    """plotext, imported when the first curve is drawn (it takes 0.2 s); its one figure belongs to this module."""
    import plotext  # noqa: PLC0415

    plotext.terminal.limit(False, False)
    return plotext


_size = [0, 0]
"""What plotext's figure is set up for: setting it up takes longer than drawing."""


def _figure(width: int, height: int) -> Any:
    """plotext's figure, empty, a dot of braille for every whole number, without axes."""
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

    Most curves are at each refresh what they were at the last one: those are remembered.

    `xs` and `ys` count dots from the lower left: 2 a cell across, 4 a cell up. They must be finite: plotext's
    native part ends the process otherwise.
    """
    if not xs or width < 1 or height < 1:
        return (" " * width,) * height
    figure = _figure(width, height)
    figure.draw(figure.signal([x + 0.5 for x in xs], [y + 0.5 for y in ys], marker="braille").lines(joined))
    rows = figure.build().string(colorless=True).split("\n")
    return tuple(row[:width].ljust(width) for row in rows[:height])


class Canvas:
    """Cells in rows, from the top. Curves that cross share a cell: dots of both, the later one's style."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.rows: Grid = [[BLANK] * width for _ in range(height)]

    def dots(self, places: Iterable[tuple[float, float]], style: str, *, joined: bool, dashed: bool) -> None:
        """Draw a curve, or dots, through places (0..1 across, 0..1 up; what lies outside is cut off)."""
        across, up = 2 * self.width - 1, 4 * self.height - 1
        xs, ys = [], []
        for x, y in places:
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

    def put(self, x: int, y: int, text: str, style: str, *, over: bool = True) -> None:
        """Write `text` from a cell on; without `over`, only where nothing is yet."""
        if 0 <= y < self.height:
            for place, character in enumerate(text, x):
                if 0 <= place < self.width and (over or self.rows[y][place][0] == " "):
                    self.rows[y][place] = (character, style)

    def free(self, x: int, y: int, width: int) -> bool:
        """Whether so many cells from one on are there and empty."""
        inside = 0 <= y < self.height and x >= 0 and x + width <= self.width
        return inside and all(cell[0] == " " for cell in self.rows[y][x : x + width])

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """The cell of a place (0..1 across, 0..1 up): column and row from the top."""
        dot_x, dot_y = round(x * (2 * self.width - 1)), round(y * (4 * self.height - 1))
        return dot_x // 2, self.height - 1 - dot_y // 4
