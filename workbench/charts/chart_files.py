"""Charts as files: SVG, and their points as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from workbench.charts.chart_options import ChartOptions
from workbench.charts.chart_set import Chart, Line
from workbench.core.text import format_compact, sanitize

COLORS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#BBBBBB", "#7F8FFF")
"""The first six are those of Okabe and Ito for any color vision (https://jfly.uni-koeln.de/color/)."""
DASHES = ("", "8 3", "2 3", "8 3 2 3", "12 4", "4 4", "1 4", "12 3 2 3 2 3")
"""The patterns of the lines, by which they differ without colors."""
WIDTH, HEIGHT, COLUMNS = 640, 300, 2
"""The size of a chart in an SVG file, and the charts beside each other."""
LEGEND_HEIGHT = 30
EVENT_COLOR, BEST_COLOR = "#CC79A7", "#009E73"
"""Colors of the marks of events, and of the best point."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 14, 28, 26
FILE_COLUMNS = 2 * (WIDTH - _LEFT - _RIGHT)
"""Columns of a chart in a file: each has the lowest and the highest value of its points."""


def to_csv(charts: Sequence[Chart], names: Mapping[str, str], options: ChartOptions) -> str:
    """A row for each drawn point: `low` and `high` differ where a column of the chart has several values.

    Of the mean of repeats they are the ends of its band, one standard deviation from it.
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    has_means = any(line.runs > 1 for chart in charts for line in chart.lines)
    smoothed = ["mean"] if has_means else ["smoothed"] if options.smoothing else []
    table.writerow(["metric", "run", "name", options.x.replace(" ", "_"), "low", "high", *smoothed])
    for chart in charts:
        for line in chart.lines:
            table.writerows(_rows(chart.name, names.get(line.run_id, line.run_id), line))
    return out.getvalue()


def _rows(metric: str, name: str, line: Line) -> list[list[str | float]]:
    values, smoothed = line.curve.values, line.curve.smoothed
    rows: list[list[str | float]] = [
        [metric, line.run_id, name, x, low, high]
        for x, low, high in zip(values.xs, values.lows, values.highs, strict=True)
    ]
    if smoothed is not None:
        at = dict(zip(smoothed.xs, smoothed.lows, strict=True))
        for row in rows:
            row.append(at.pop(float(row[3]), ""))
        rows += [[metric, line.run_id, name, x, "", "", y] for x, y in at.items()]
    return rows


def to_svg(charts: Sequence[Chart], names: Mapping[str, str], options: ChartOptions) -> str:
    """All charts below each other in columns, with a legend if there are several runs."""
    columns = min(COLUMNS, max(1, len(charts)))
    top = LEGEND_HEIGHT if len(names) > 1 else 0
    height = top + HEIGHT * -(-len(charts) // columns)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * columns}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#1a1a1a"/>',
    ]
    styles = {run_id: number % len(COLORS) for number, run_id in enumerate(names)}
    if top:
        parts += _legend(names, styles)
    for number, chart in enumerate(charts):
        x, y = WIDTH * (number % columns), top + HEIGHT * (number // columns)
        parts += [
            f'<g transform="translate({x},{y})">',
            *_chart(chart, f"clip{number}", styles, options, several=len(names) > 1),
            "</g>",
        ]
    return "\n".join([*parts, "</svg>", ""])


def _legend(names: Mapping[str, str], styles: Mapping[str, int]) -> list[str]:
    step = WIDTH * COLUMNS // max(1, len(names))
    parts = []
    for number, (run_id, name) in enumerate(names.items()):
        x, style = 10 + number * step, styles[run_id]
        parts += [
            f'<line x1="{x}" y1="16" x2="{x + 30}" y2="16" {_stroke(style)}/>',
            f'<text x="{x + 36}" y="20" fill="#ddd">{_text(name)}</text>',
        ]
    return parts


class ChartFrame:
    """Where the parts of a chart stand in a picture of `WIDTH` × `HEIGHT`."""

    left, top, right, bottom = _LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def __init__(self, chart: Chart) -> None:
        self._x_axis, self._y_axis = chart.x_axis, chart.y_axis

    def place(self, x: float, y: float) -> tuple[float, float]:
        """The position in the picture of a point of the chart; one far outside is a little outside."""
        across, up = self._x_axis.position(x), self._y_axis.position(y)
        height = self.bottom - self.top
        return self.left + across * (self.right - self.left), self.top + (
            1 - min(max(up, -0.5), 1.5)
        ) * height

    def finite_places(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """The positions of points, without those that have no place on a log axis."""
        places = (self.place(x, y) for x, y in points)
        return [(x, y) for x, y in places if math.isfinite(x) and math.isfinite(y)]

    def y_ticks(self) -> list[tuple[str, float]]:
        """The labels of the y axis and their heights."""
        ticks = [tick for tick in self._y_axis.ticks(5) if self._y_axis.contains(tick)]
        labels = self._y_axis.labels(ticks)
        return [
            (label, self.place(self._x_axis.low, tick)[1]) for tick, label in zip(ticks, labels, strict=True)
        ]

    def x_ticks(self) -> list[tuple[str, float]]:
        """The labels of the x axis and their positions."""
        ticks = [tick for tick in self._x_axis.ticks(6) if self._x_axis.contains(tick)]
        labels = self._x_axis.labels(ticks)
        return [
            (label, self.place(tick, self._y_axis.low)[0]) for tick, label in zip(ticks, labels, strict=True)
        ]

    @property
    def border(self) -> list[tuple[float, float]]:
        """The corners of the plot area, the first one again at the end."""
        left, top, right, bottom = self.left, self.top, self.right, self.bottom
        return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]

    def event_mark(self, x: float) -> list[tuple[float, float]]:
        """The corners of the mark of an event on the x axis."""
        return [(x - 4, self.bottom + 6), (x + 4, self.bottom + 6), (x, self.bottom - 2)]


def line_points(line: Line) -> tuple[list[tuple[float, float]], list[tuple[float, float]] | None]:
    """The points of a line through the lowest and highest values of each column, and those of the smoothed ones."""
    values, smoothed = line.curve.values, line.curve.smoothed
    pairs = [point for x, low, high in zip(values.xs, values.lows, values.highs, strict=True)
             for point in ([(x, low)] if low == high else [(x, low), (x, high)])]  # fmt: skip
    return pairs, None if smoothed is None else list(zip(smoothed.xs, smoothed.lows, strict=True))


def chart_title(chart: Chart) -> str:
    """`val/accuracy  .947`; not escaped."""
    values = "".join(f"  {format_compact(line.at_cursor)}" for line in chart.by_value()[:1])
    return sanitize(chart.name) + values


def _chart(
    chart: Chart, clip: str, styles: Mapping[str, int], options: ChartOptions, *, several: bool
) -> list[str]:
    frame = ChartFrame(chart)
    width, height = frame.right - frame.left, frame.bottom - frame.top
    parts = [
        f'<clipPath id="{clip}"><rect x="{_LEFT}" y="{_TOP}" width="{width}" height="{height}"/></clipPath>',
        f'<text x="{_LEFT}" y="18" fill="#fff" font-weight="bold">{escape(chart_title(chart))}</text>',
        f'<text x="{frame.right}" y="18" fill="#aaa" text-anchor="end">{options.x}</text>',
        f'<rect x="{_LEFT}" y="{_TOP}" width="{width}" height="{height}" fill="none" stroke="#666"/>',
    ]
    for label, y in frame.y_ticks():
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" fill="#aaa" text-anchor="end">{label}</text>')
    for label, x in frame.x_ticks():
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" fill="#aaa" text-anchor="middle">{label}</text>')
    for event in chart.events:
        x, _ = frame.place(event.x, chart.y_axis.low)
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in frame.event_mark(x))
        parts.append(
            f'<polygon points="{corners}" fill="{EVENT_COLOR}"><title>{_text(event.text)}</title></polygon>'
        )
    parts.append(f'<g clip-path="url(#{clip})" fill="none">')
    for line in chart.lines:
        values, smoothed = line_points(line)
        if smoothed is not None:
            parts.append(_polyline(frame.finite_places(values), 'stroke="#777" stroke-width="0.5"'))
        parts.append(_polyline(frame.finite_places(smoothed or values), _stroke(styles.get(line.run_id, 0))))
        if line.curve.best and not several:
            x, y = frame.place(*line.curve.best)
            parts.append(f'<path d="M{x - 5:.1f},{y + 5:.1f}h10l-5,-10z" fill="{BEST_COLOR}" stroke="none"/>')
    if options.cursor is not None:
        x, _ = frame.place(options.cursor, chart.y_axis.low)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_TOP + height}" stroke="#fff"/>')
    return [*parts, "</g>"]


def _polyline(drawn: Sequence[tuple[float, float]], attributes: str) -> str:
    if len(drawn) == 1:
        return f'<circle cx="{drawn[0][0]:.1f}" cy="{drawn[0][1]:.1f}" r="2.5" {attributes}/>'
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
    return f'<polyline points="{places}" {attributes}/>'


def _stroke(style: int) -> str:
    dashes = f' stroke-dasharray="{DASHES[style]}"' if DASHES[style] else ""
    return f'stroke="{COLORS[style]}" stroke-width="1.5"{dashes}'


def _text(text: str) -> str:
    return escape(sanitize(text))
