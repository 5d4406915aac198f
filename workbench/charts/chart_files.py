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
    top = 30 if len(names) > 1 else 0
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
            *_chart(chart, f"clip{number}", styles, options),
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


def _chart(chart: Chart, clip: str, styles: Mapping[str, int], options: ChartOptions) -> list[str]:
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        """The position in the SVG of a point of the chart."""
        across, up = chart.x_axis.position(x), chart.y_axis.position(y)
        return _LEFT + across * width, _TOP + (1 - min(max(up, -0.5), 1.5)) * height

    parts = [
        f'<clipPath id="{clip}"><rect x="{_LEFT}" y="{_TOP}" width="{width}" height="{height}"/></clipPath>',
        f'<text x="{_LEFT}" y="18" fill="#fff" font-weight="bold">{_text(chart.name)}{_values(chart)}</text>',
        f'<rect x="{_LEFT}" y="{_TOP}" width="{width}" height="{height}" fill="none" stroke="#666"/>',
    ]
    ticks = [tick for tick in chart.y_axis.ticks(5) if chart.y_axis.contains(tick)]
    for tick, label in zip(ticks, chart.y_axis.labels(ticks), strict=True):
        _, y = place(chart.x_axis.low, tick)
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" fill="#aaa" text-anchor="end">{label}</text>')
    ticks = [tick for tick in chart.x_axis.ticks(6) if chart.x_axis.contains(tick)]
    for tick, label in zip(ticks, chart.x_axis.labels(ticks), strict=True):
        x, _ = place(tick, chart.y_axis.low)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" fill="#aaa" text-anchor="middle">{label}</text>')
    parts.append(f'<g clip-path="url(#{clip})" fill="none">')
    for line in chart.lines:
        values, smoothed = line.curve.values, line.curve.smoothed
        pairs = [point for x, low, high in zip(values.xs, values.lows, values.highs, strict=True)
                 for point in ([(x, low)] if low == high else [(x, low), (x, high)])]  # fmt: skip
        if smoothed is not None:
            parts.append(_polyline([place(*pair) for pair in pairs], 'stroke="#777" stroke-width="0.5"'))
            pairs = list(zip(smoothed.xs, smoothed.lows, strict=True))
        parts.append(_polyline([place(*pair) for pair in pairs], _stroke(styles.get(line.run_id, 0))))
    if options.cursor is not None:
        x, _ = place(options.cursor, chart.y_axis.low)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_TOP + height}" stroke="#fff"/>')
    return [*parts, "</g>"]


def _values(chart: Chart) -> str:
    return "".join(f"  {format_compact(line.at_cursor)}" for line in chart.by_value()[:1])


def _polyline(points: Sequence[tuple[float, float]], attributes: str) -> str:
    drawn = [
        (x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)
    ]  # without what has no place on a log axis
    if len(drawn) == 1:
        return f'<circle cx="{drawn[0][0]:.1f}" cy="{drawn[0][1]:.1f}" r="2.5" {attributes}/>'
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
    return f'<polyline points="{places}" {attributes}/>'


def _stroke(style: int) -> str:
    dashes = f' stroke-dasharray="{DASHES[style]}"' if DASHES[style] else ""
    return f'stroke="{COLORS[style]}" stroke-width="1.5"{dashes}'


def _text(text: str) -> str:
    return escape(sanitize(text))
