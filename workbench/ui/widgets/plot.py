"""A plot in the terminal: curves, points and regions on axes. Only changed cells are sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from textual.message import Message

from workbench.charts.axes import Axis
from workbench.core.text import cell_width, truncate
from workbench.ui.widgets.braille_canvas import Canvas
from workbench.ui.widgets.cell_grid import Cell, CellView, Grid, to_cells

AXIS_STYLE = "$foreground-muted"
EVENT_MARK, EVENT_STYLE = "▴", "$text-secondary"
EVENT_CELLS = 3
"""Cells by which the mark of an event gives way to a number."""
LABEL_ROWS = 4
"""Rows, from the top, that may have the label of a vertical line."""
LABEL_GUTTER = 7
"""Cells left of the plot: six for a label, one for the axis. Fixed, so that the plot does not move."""

Kind = Literal["line", "dashed", "points", "cells", "band", "range"]
Title = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Series:
    """One series of a plot, in data coordinates.

    `line` and `dashed` connect the points; `points` draws dots, or `glyph` if there is one; `cells` fills the cell
    of each point with `glyph` (a region); `band` fills the area between `ys` and `highs`; `range` is a line through
    many points, of which `ys` and `highs` are the lowest and the highest in each column.
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
    """A vertical line (only `x`), a horizontal line (only `y`) or a point (both), labeled where there is room."""

    x: float | None = None
    y: float | None = None
    glyph: str = "┆"
    label: str = ""
    style: str = AXIS_STYLE
    on_top: bool = False
    """Whether it is drawn over curves."""


@dataclass(frozen=True)
class Drawing:
    """The content of a plot."""

    series: Sequence[Series]
    x_axis: Axis
    y_axis: Axis
    marks: Sequence[Mark] = ()
    title: Title = ()
    """Texts with their styles."""
    events: Sequence[float] = ()
    """Positions on the x axis that have a small mark."""


class Plot(CellView):
    """Draws a title row, the plot and the x axis in its whole size."""

    DEFAULT_CSS = """
    Plot { height: 1fr; width: 1fr; min-height: 3; }
    """

    class Resized(Message):
        """The plot has another size: a drawing depends on it."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drawing: Drawing | None = None
        self._message = ""

    def draw(
        self,
        series: Sequence[Series],
        x_range: Axis,
        y_range: Axis,
        marks: Sequence[Mark] = (),
        title: Title = (),
    ) -> None:
        """Draw these series. Only cells that changed are sent."""
        self._drawing = Drawing(series, x_range, y_range, marks, title)
        self._redraw()

    def show_message(self, message: str) -> None:
        """Show a message instead of axes, where there is nothing to draw."""
        self._drawing, self._message = None, message
        self._redraw()

    @property
    def columns(self) -> int:
        """Cells of the plot area across; a curve needs at most two points per cell."""
        return max(1, self.size.width - LABEL_GUTTER)

    def on_resize(self) -> None:
        self._redraw()
        self.post_message(self.Resized())

    def _redraw(self) -> None:
        width, height = self.size
        if width < 1 or height < 1:
            return
        if self._drawing is None:
            self.paint([_title([(self._message, AXIS_STYLE)], "", width)])
        else:
            self.paint(render_drawing(self._drawing, width, height))


def render_drawing(drawing: Drawing, width: int, height: int) -> Grid:
    """The rows of a plot of `width` × `height` cells."""
    x_axis, y_axis = drawing.x_axis, drawing.y_axis
    canvas = Canvas(max(1, width - LABEL_GUTTER), max(1, height - 2))
    for series in drawing.series:
        _draw(canvas, series, x_axis, y_axis)
    for mark in drawing.marks:
        _mark(canvas, mark, x_axis, y_axis)
    rows = [_title(drawing.title, _log_note(drawing), width)]
    rows += [[*left, *row] for left, row in zip(_gutter(y_axis, canvas.height), canvas.rows, strict=True)]
    rows.append(_x_axis_row(x_axis, canvas.width, drawing.events))
    return [row[:width] for row in rows[:height]]


def _log_note(drawing: Drawing) -> str:
    """That values are missing on a log axis, where some are; empty if none is."""
    for axis, name in ((drawing.y_axis, "ys"), (drawing.x_axis, "xs")):
        if axis.scale == "log" and any(
            value <= 0 for series in drawing.series for value in getattr(series, name)
        ):
            return "  ≤ 0 not drawn"
    return ""


def _draw(canvas: Canvas, series: Series, x_axis: Axis, y_axis: Axis) -> None:
    xs, ys = x_axis.positions(series.xs), y_axis.positions(series.ys)
    if series.kind == "band":
        _band(canvas, xs, ys, y_axis.positions(series.highs), series)
    elif series.kind == "range":
        highs = y_axis.positions(series.highs)
        canvas.draw_ranges(zip(xs, ys, highs, strict=True), series.style)
    elif series.glyph:
        for x, y in zip(xs, ys, strict=True):
            if 0 <= x <= 1 and 0 <= y <= 1:
                canvas.write(*canvas.cell(x, y), series.glyph, series.style)
    else:
        joined = series.kind in {"line", "dashed"}
        dashed = series.kind == "dashed"
        canvas.draw_curve(zip(xs, ys, strict=True), series.style, joined=joined, dashed=dashed)


def _band(canvas: Canvas, xs: list[float], lows: list[float], highs: list[float], series: Series) -> None:
    """Shade the cells between two curves."""
    for x, low, high in zip(xs, lows, highs, strict=True):
        if 0 <= x <= 1 and high >= 0 and not low > 1:  # the lower end may have no position on a log axis
            column, top = canvas.cell(x, min(high, 1.0))
            _, bottom = canvas.cell(x, max(0.0, low))
            for y in range(top, bottom + 1):
                canvas.write(column, y, series.glyph or "░", series.style)


def _mark(canvas: Canvas, mark: Mark, x_axis: Axis, y_axis: Axis) -> None:
    x = 0.0 if mark.x is None else x_axis.position(mark.x)
    y = 0.0 if mark.y is None else y_axis.position(mark.y)
    if not (0 <= x <= 1 and 0 <= y <= 1):
        return
    column, row = canvas.cell(x, y)
    if mark.x is None:
        label = truncate(mark.label, canvas.width)
        start = canvas.width - cell_width(label)
        if label and canvas.is_free(start, row, cell_width(label)):
            canvas.write(start, row, label, mark.style)
        canvas.write(0, row, mark.glyph * canvas.width, mark.style, overwrite=mark.on_top)
    elif mark.y is None:
        for y_cell in range(canvas.height):
            canvas.write(column, y_cell, mark.glyph, mark.style, overwrite=mark.on_top)
        _line_label(canvas, mark, column)
    else:
        canvas.write(column, row, mark.glyph, mark.style)
        label = f" {mark.label}"
        if mark.label and canvas.is_free(column + 1, row, cell_width(label)):
            canvas.write(column + 1, row, label, mark.style)


def _line_label(canvas: Canvas, mark: Mark, column: int) -> None:
    """Label a vertical line beside it, in the first of the upper rows that has room: curves are never covered."""
    length = cell_width(mark.label)
    for row in range(min(LABEL_ROWS, canvas.height)) if mark.label else ():
        for start in (column + 1, column - length):
            if canvas.is_free(start, row, length):
                canvas.write(start, row, mark.label, mark.style)
                return


def _title(title: Title, note: str, width: int) -> list[Cell]:
    """The title, cut so that the note after it is not."""
    ending = to_cells(note, AXIS_STYLE)[:width]
    cells, room = [cell for text, style in title for cell in to_cells(text, style)], width - len(ending)
    if len(cells) > room:
        cells = [*cells[: room - 1], ("…", cells[room - 1][1])] if room else []
    return [*cells, *ending, *[(" ", "")] * (room - len(cells))]


def _gutter(axis: Axis, height: int) -> Grid:
    """The y axis with its labels, row by row."""
    labels = [" " * (LABEL_GUTTER - 1) + "│"] * height
    ticks = [tick for tick in axis.ticks(max(2, height // 4)) if axis.contains(tick)]
    grid = Canvas(1, height)
    for tick, label in zip(ticks, axis.labels(ticks), strict=True):
        _, row = grid.cell(0, axis.position(tick))
        labels[row] = label[: LABEL_GUTTER - 1].rjust(LABEL_GUTTER - 1) + "┤"
    return [[(c, AXIS_STYLE) for c in label] for label in labels]


def _x_axis_row(x_axis: Axis, width: int, events: Sequence[float] = ()) -> list[Cell]:
    """The x axis with its numbers, and the marks of events beside them."""
    canvas = Canvas(width, 1)
    ticks = x_axis.ticks(max(1, width // 7))
    for tick, label in zip(ticks, x_axis.labels(ticks), strict=True):
        _label(canvas, label, x_axis.position(tick), AXIS_STYLE)
    columns = {canvas.cell(x_axis.position(event), 0)[0] for event in events if x_axis.contains(event)}
    for column in sorted(columns):
        near = sorted(range(column - EVENT_CELLS, column + EVENT_CELLS + 1), key=lambda x: abs(x - column))
        free = (x for x in near if 0 <= x < width and canvas.is_free(x, 0, 1))
        canvas.write(next(free, column), 0, EVENT_MARK, EVENT_STYLE)
    row = [cell if cell[1] else ("─", AXIS_STYLE) for cell in canvas.rows[0]]
    return [*((c, AXIS_STYLE) for c in " " * (LABEL_GUTTER - 1) + "└"), *row]


def _label(canvas: Canvas, label: str, position: float, style: str) -> None:
    """Write a label centered under its position, unless it would touch another."""
    length = cell_width(label)
    column, _ = canvas.cell(position, 0)
    start = min(max(0, column - length // 2), canvas.width - length)
    if canvas.is_free(start, 0, length) and not (
        (start > 0 and not canvas.is_free(start - 1, 0, 1))
        or (start + length < canvas.width and not canvas.is_free(start + length, 0, 1))
    ):
        canvas.write(start, 0, label, style)
