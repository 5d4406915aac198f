"""Charts as a PNG picture, for slides and documents: the same places and colors as in SVG, drawn by Pillow."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from workbench.charts.chart_files import (
    BEST_COLOR,
    COLORS,
    COLUMNS,
    DASHES,
    EVENT_COLOR,
    HEIGHT,
    LEGEND_HEIGHT,
    WIDTH,
    ChartFrame,
    chart_title,
    line_points,
)
from workbench.charts.chart_options import ChartOptions
from workbench.charts.chart_set import Chart, Line
from workbench.core.text import sanitize

DENSITY = 2
"""Pixels of the picture per unit of the SVG."""
OVERSAMPLING = 2
"""Charts are drawn in so many times more pixels and reduced, for smooth lines."""
_SCALE = DENSITY * OVERSAMPLING
BACKGROUND, FRAME, GRID, LABEL, TITLE, FAINT = (
    "#1a1a1a", "#666666", "#333333", "#aaaaaa", "#ffffff", "#777777",
)  # fmt: skip
FONT_SIZE, TITLE_SIZE = 12, 13
MARK_SIZE = 5
"""The half width of the marks of events and of the best point."""

_Place = tuple[float, float]


def to_png(charts: Sequence[Chart], names: Mapping[str, str], options: ChartOptions) -> bytes:
    """All charts below each other in columns, with a legend if there are several runs."""
    columns = min(COLUMNS, max(1, len(charts)))
    top = LEGEND_HEIGHT if len(names) > 1 else 0
    size = WIDTH * columns * DENSITY, (top + HEIGHT * -(-len(charts) // columns)) * DENSITY
    page = Image.new("RGB", size, BACKGROUND)
    styles = {run_id: number % len(COLORS) for number, run_id in enumerate(names)}
    if top:
        page.paste(_reduced(_legend(names, styles, WIDTH * columns)), (0, 0))
    for number, chart in enumerate(charts):
        place = WIDTH * (number % columns) * DENSITY, (top + HEIGHT * (number // columns)) * DENSITY
        page.paste(_reduced(_chart(chart, styles, options, several=len(names) > 1)), place)
    content = io.BytesIO()
    page.save(content, "PNG", optimize=True)
    return content.getvalue()


def _reduced(image: Image.Image) -> Image.Image:
    return image.resize((image.width // OVERSAMPLING, image.height // OVERSAMPLING), Image.Resampling.BOX)


class _Pencil:
    """Draws in units of the SVG on a picture of its own."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width * _SCALE, height * _SCALE), BACKGROUND)
        self._draw = ImageDraw.Draw(self.image)

    def line(self, points: Sequence[_Place], color: str, width: float) -> None:
        """A line through points."""
        if len(points) > 1:
            scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
            self._draw.line(scaled, fill=color, width=max(1, round(width * _SCALE)), joint="curve")

    def polygon(self, points: Sequence[_Place], color: str) -> None:
        """A filled area."""
        self._draw.polygon([(x * _SCALE, y * _SCALE) for x, y in points], fill=color)

    def dot(self, x: float, y: float, radius: float, color: str) -> None:
        """A filled circle."""
        box = [(value * _SCALE) for value in (x - radius, y - radius, x + radius, y + radius)]
        self._draw.ellipse(box, fill=color)

    def text(
        self, x: float, y: float, text: str, color: str, *, anchor: str = "ls", size: int = FONT_SIZE
    ) -> None:
        """Text on a baseline, at its left (`ls`), middle (`ms`) or right (`rs`)."""
        font = ImageFont.load_default(size * _SCALE)
        self._draw.text((x * _SCALE, y * _SCALE), text, fill=color, font=font, anchor=anchor)

    def paste(self, other: _Pencil, box: tuple[int, int, int, int]) -> None:
        """Copy a part of another picture of the same size (left, top, right, bottom)."""
        left, top, right, bottom = (value * _SCALE for value in box)
        self.image.paste(other.image.crop((left, top, right, bottom)), (left, top))


def _legend(names: Mapping[str, str], styles: Mapping[str, int], width: int) -> Image.Image:
    pencil, step = _Pencil(width, LEGEND_HEIGHT), width // max(1, len(names))
    for number, (run_id, name) in enumerate(names.items()):
        x = 10 + number * step
        _stroke(pencil, [(x, 16), (x + 30, 16)], styles[run_id])
        pencil.text(x + 36, 20, sanitize(name, max(4, (step - 46) // 7)), "#dddddd")
    return pencil.image


def _chart(chart: Chart, styles: Mapping[str, int], options: ChartOptions, *, several: bool) -> Image.Image:
    frame = ChartFrame(chart)
    pencil, area = _Pencil(WIDTH, HEIGHT), _Pencil(WIDTH, HEIGHT)
    for _, y in frame.y_ticks():
        area.line([(frame.left, y), (frame.right, y)], GRID, 0.5)
    for line in chart.lines:
        _line(area, line, frame, styles.get(line.run_id, 0), options, several=several)
    if options.cursor is not None:
        x, _ = frame.place(options.cursor, chart.y_axis.low)
        area.line([(x, frame.top), (x, frame.bottom)], TITLE, 1)
    pencil.paste(area, (frame.left, frame.top, frame.right, frame.bottom))
    pencil.line(frame.border, FRAME, 1)
    for label, y in frame.y_ticks():
        pencil.text(frame.left - 6, y + 4, label, LABEL, anchor="rs")
    for label, x in frame.x_ticks():
        pencil.text(x, HEIGHT - 8, label, LABEL, anchor="ms")
    for event in chart.events:
        x, _ = frame.place(event.x, chart.y_axis.low)
        pencil.polygon(frame.event_mark(x), EVENT_COLOR)
    pencil.text(frame.left, 18, chart_title(chart), TITLE, size=TITLE_SIZE)
    pencil.text(frame.right, 18, options.x, LABEL, anchor="rs")
    return pencil.image


def _line(
    pencil: _Pencil, line: Line, frame: ChartFrame, style: int, options: ChartOptions, *, several: bool
) -> None:
    values, smoothed = line_points(line)
    places = frame.finite_places(values)
    if smoothed is not None:
        pencil.line(places, FAINT, 0.5)
        places = frame.finite_places(smoothed)
    if len(places) == 1:
        pencil.dot(*places[0], 2.5, COLORS[style])
    _stroke(pencil, places, style)
    if line.curve.best and not several:
        x, y = frame.place(*line.curve.best)
        pencil.polygon(
            [(x - MARK_SIZE, y + MARK_SIZE), (x + MARK_SIZE, y + MARK_SIZE), (x, y - MARK_SIZE)], BEST_COLOR
        )


def _stroke(pencil: _Pencil, points: Sequence[_Place], style: int) -> None:
    pattern = [float(length) for length in DASHES[style].split()]
    for part in _dashes(points, pattern) if pattern else [points]:
        pencil.line(part, COLORS[style], 1.5)


def _dashes(points: Sequence[_Place], pattern: Sequence[float]) -> Iterator[list[_Place]]:
    """The drawn parts of a line: lengths that are drawn and left out in turn."""
    number, left, part = 0, pattern[0], list(points[:1])
    for start, end in pairwise(points):
        (x, y), length = start, math.dist(start, end)
        done = 0.0
        while length - done > left:
            done += left
            at = x + (end[0] - x) * done / length, y + (end[1] - y) * done / length
            if number % 2 == 0:
                yield [*part, at]
            number, part = number + 1, [at]
            left = pattern[number % len(pattern)]
        left -= length - done
        part.append(end)
    if number % 2 == 0:
        yield part
