"""A plot in the terminal: curves, points and regions on axes, of which only what changed is sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.core.text import cell_width, cut
from workbench.ui.widgets.axes import Axis
from workbench.ui.widgets.braille_canvas import Canvas
from workbench.ui.widgets.cell_grid import Cell, CellView, Grid, spread

FRAME = "$foreground-muted"
GUTTER = 7
"""Cells left of the plot: a label of six and the axis. Fixed, so that a longer label moves nothing."""

Kind = Literal["line", "dashed", "points", "cells", "band"]
Title = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Series:
    """One thing that is drawn, in data coordinates.

    `line` and `dashed` join the points; `points` are dots, or `glyph` where it is given; `cells` fill the cell
    of each point with `glyph` (a region); `band` is filled between `ys` and `highs`.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    style: str
    kind: Kind = "line"
    glyph: str = ""
    highs: Sequence[float] = ()


@dataclass(frozen=True)
class Mark:
    """A column (`x` alone), a row (`y` alone) or a point (both), with a label where there is room for it."""

    x: float | None = None
    y: float | None = None
    glyph: str = "┆"
    label: str = ""
    style: str = FRAME
    over: bool = False
    """Whether it covers curves."""


@dataclass(frozen=True)
class Drawing:
    """All that a plot shows."""

    series: Sequence[Series]
    x_axis: Axis
    y_axis: Axis
    marks: Sequence[Mark] = ()
    title: Title = ()
    """Pieces of text with their styles."""


class Plot(CellView):
    """Draws what `draw` is given into its whole size: a row of title, the plot, the x axis."""

    DEFAULT_CSS = """
    Plot { height: 1fr; width: 1fr; min-height: 3; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drawing: Drawing | None = None
        self._words = ""

    def draw(
        self,
        series: Sequence[Series],
        x_range: Axis,
        y_range: Axis,
        marks: Sequence[Mark] = (),
        title: Title = (),
    ) -> None:
        """Draw anew. Lines that come out as they were are not sent again."""
        self._drawing = Drawing(series, x_range, y_range, marks, title)
        self._redraw()

    def say(self, words: str) -> None:
        """Show words alone where there is nothing to draw: axes would be invented."""
        self._drawing, self._words = None, words
        self._redraw()

    @property
    def columns(self) -> int:
        """Cells that curves have across: series need not have more than two points each."""
        return max(1, self.size.width - GUTTER)

    def on_resize(self) -> None:
        """Draw to the new size."""
        self._redraw()

    def _redraw(self) -> None:
        width, height = self.size
        if width < 1 or height < 1:
            return
        if self._drawing is None:
            self.paint([_title([(self._words, FRAME)], width)])
        else:
            self.paint(composed(self._drawing, width, height))


def composed(drawing: Drawing, width: int, height: int) -> Grid:
    """All rows of a plot of `width` by `height` cells."""
    x_axis, y_axis = drawing.x_axis, drawing.y_axis
    canvas = Canvas(max(1, width - GUTTER), max(1, height - 2))
    for series in drawing.series:
        _draw(canvas, series, x_axis, y_axis)
    for mark in drawing.marks:
        _mark(canvas, mark, x_axis, y_axis)
    rows = [_title(drawing.title, width)]
    rows += [[*left, *row] for left, row in zip(_gutter(y_axis, canvas.height), canvas.rows, strict=True)]
    rows.append(_bottom(x_axis, drawing.marks, canvas.width))
    return [row[:width] for row in rows[:height]]


def _draw(canvas: Canvas, series: Series, x_axis: Axis, y_axis: Axis) -> None:
    xs = [x_axis.place(x) for x in series.xs]
    ys = [y_axis.place(y) for y in series.ys]
    if series.kind == "band":
        _band(canvas, xs, ys, [y_axis.place(y) for y in series.highs], series)
    elif series.glyph:
        for x, y in zip(xs, ys, strict=True):
            if 0 <= x <= 1 and 0 <= y <= 1:
                canvas.put(*canvas.cell(x, y), series.glyph, series.style)
    else:
        joined = series.kind in {"line", "dashed"}
        dashed = series.kind == "dashed"
        canvas.dots(zip(xs, ys, strict=True), series.style, joined=joined, dashed=dashed)


def _band(canvas: Canvas, xs: list[float], lows: list[float], highs: list[float], series: Series) -> None:
    """Shade the cells between two curves."""
    for x, low, high in zip(xs, lows, highs, strict=True):
        if 0 <= x <= 1 and high >= 0 and low <= 1:
            column, top = canvas.cell(x, min(high, 1.0))
            _, bottom = canvas.cell(x, max(low, 0.0))
            for y in range(top, bottom + 1):
                canvas.put(column, y, series.glyph or "░", series.style)


def _mark(canvas: Canvas, mark: Mark, x_axis: Axis, y_axis: Axis) -> None:
    x = 0.0 if mark.x is None else x_axis.place(mark.x)
    y = 0.0 if mark.y is None else y_axis.place(mark.y)
    if not (0 <= x <= 1 and 0 <= y <= 1):
        return
    column, row = canvas.cell(x, y)
    if mark.x is None:
        label = cut(mark.label, canvas.width)
        start = canvas.width - cell_width(label)
        if label and canvas.free(start, row, cell_width(label)):
            canvas.put(start, row, label, mark.style)
        canvas.put(0, row, mark.glyph * canvas.width, mark.style, over=mark.over)
    elif mark.y is None:
        for y_cell in range(canvas.height):
            canvas.put(column, y_cell, mark.glyph, mark.style, over=mark.over)
    else:
        canvas.put(column, row, mark.glyph, mark.style)
        label = f" {mark.label}"
        if mark.label and canvas.free(column + 1, row, cell_width(label)):
            canvas.put(column + 1, row, label, mark.style)


def _title(title: Title, width: int) -> list[Cell]:
    cells = [cell for text, style in title for cell in spread(text, style)]
    if len(cells) > width:
        cells = [*cells[: width - 1], ("…", cells[width - 1][1])]
    return [*cells, *[(" ", "")] * (width - len(cells))]


def _gutter(axis: Axis, height: int) -> Grid:
    """Labels and the y axis itself, row by row."""
    labels = [" " * (GUTTER - 1) + "│"] * height
    ticks = [tick for tick in axis.ticks(max(2, height // 4)) if axis.holds(tick)]
    grid = Canvas(1, height)
    for tick, label in zip(ticks, axis.labels(ticks), strict=True):
        _, row = grid.cell(0, axis.place(tick))
        labels[row] = label[: GUTTER - 1].rjust(GUTTER - 1) + "┤"
    return [[(c, FRAME) for c in label] for label in labels]


def _bottom(x_axis: Axis, marks: Iterable[Mark], width: int) -> list[Cell]:
    """The x axis: its numbers stand in the line, labels of marks before them."""
    canvas = Canvas(width, 1)
    for mark in marks:
        if mark.x is not None and mark.y is None and mark.label and 0 <= x_axis.place(mark.x) <= 1:
            _label(canvas, mark.label, x_axis.place(mark.x), mark.style)
    ticks = x_axis.ticks(max(1, width // 12))
    for tick, label in zip(ticks, x_axis.labels(ticks), strict=True):
        _label(canvas, label, x_axis.place(tick), FRAME)
    row = [cell if cell[1] else ("─", FRAME) for cell in canvas.rows[0]]
    return [*((c, FRAME) for c in " " * (GUTTER - 1) + "└"), *row]


def _label(canvas: Canvas, label: str, place: float, style: str) -> None:
    """Write a label under its place, centred, unless it would touch another."""
    length = cell_width(label)
    column, _ = canvas.cell(place, 0)
    start = min(max(0, column - length // 2), canvas.width - length)
    if canvas.free(start, 0, length) and not (
        (start > 0 and not canvas.free(start - 1, 0, 1))
        or (start + length < canvas.width and not canvas.free(start + length, 0, 1))
    ):
        canvas.put(start, 0, label, style)
