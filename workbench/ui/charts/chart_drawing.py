"""From a chart to its drawing: colors and marks of the runs, the cursor, and the values in the title."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.charts.chart_options import ChartOptions
from workbench.charts.chart_set import Chart, Line
from workbench.core.text import cell_width, format_compact, sanitize, truncate
from workbench.ui.base.status_style import MUTED
from workbench.ui.charts.run_styles import RunStyles
from workbench.ui.widgets.plot import Drawing, Mark, Series

CURSOR_STYLE, BEST_STYLE = "$text-accent", "$success"
SELECTED = "▸"
MIN_NAME_WIDTH = 8
MARK_DISTANCE = 4
"""Points between the marks of two runs, so that those of curves that end together do not cover each other."""


def draw_chart(
    chart: Chart, options: ChartOptions, styles: RunStyles, width: int, *, selected: bool
) -> Drawing:
    """The drawing of a chart, with a title of at most `width` cells."""
    several = len(styles) > 1
    series = [part for line in chart.lines for part in _series(line, styles, several=several)]
    marks = [] if options.cursor is None else [Mark(x=options.cursor, glyph="│", style=CURSOR_STYLE)]
    for number, line in enumerate(chart.lines):
        shown = line.curve.smoothed or line.curve.values
        if several and shown.xs:
            style, at = styles[line.run_id], max(0, len(shown.xs) - 1 - number * MARK_DISTANCE)
            marks.append(Mark(shown.xs[at], shown.highs[at], style.mark, style=style.color))
        elif line.curve.best and not several:
            marks.append(Mark(*line.curve.best, "▲", style=BEST_STYLE))
    title = _title(chart, options, styles, width, selected=selected)
    return Drawing(series, chart.x_axis, chart.y_axis, marks, title, [event.x for event in chart.events])


def _series(line: Line, styles: RunStyles, *, several: bool) -> list[Series]:
    """The curve of a run; if it is smoothed, with the original behind it, unless there are several runs. The mean of
    repeats has its band behind it.
    """
    values, smoothed, color = line.curve.values, line.curve.smoothed, styles[line.run_id].color
    if len(values.xs) == 1 and values.lows == values.highs:
        return [Series(line.run_id, values.xs, values.lows, color, "points", "•")]
    if smoothed is None:
        return [Series(line.run_id, values.xs, values.lows, color, "range", highs=values.highs)]
    curve = Series(line.run_id, smoothed.xs, smoothed.lows, color, "range", highs=smoothed.highs)
    if several and line.runs == 1:
        return [curve]
    return [Series("original", values.xs, values.lows, MUTED, "range", highs=values.highs), curve]


def _title(
    chart: Chart, options: ChartOptions, styles: RunStyles, width: int, *, selected: bool
) -> list[tuple[str, str]]:
    """`val/accuracy .947`; of several runs `val/accuracy 2 .947 1 .902`, the highest first, as many as fit."""
    values: list[tuple[str, str]] = []
    mark = SELECTED if selected else ""
    room = width - len(mark) - min(cell_width(chart.name), MIN_NAME_WIDTH)
    for part in _value_texts(chart, options, styles):
        if sum(cell_width(text) for text, _ in values) + cell_width(part[0]) <= room:
            values.append(part)
    taken = sum(cell_width(text) for text, _ in values)
    name = shorten_name(sanitize(chart.name), max(1, width - len(mark) - taken))
    return [(mark, CURSOR_STYLE), (name, "bold underline" if selected else "bold"), *values]


def _value_texts(chart: Chart, options: ChartOptions, styles: RunStyles) -> list[tuple[str, str]]:
    lines = chart.by_value()
    if len(styles) > 1:
        return [
            (f" {styles[line.run_id].mark} {_value_text(line)}", styles[line.run_id].color) for line in lines
        ]
    if not lines:
        return [(" no value", MUTED)]
    line = lines[0]
    texts = [(f" {_value_text(line)}", styles[line.run_id].color)]
    if line.curve.best and options.cursor is None:
        x, value = line.curve.best
        texts.append((f"  ▲{format_compact(value)}@{options.format_x(x)}", BEST_STYLE))
    return texts + _cut_notes(chart, line)


def _cut_notes(chart: Chart, line: Line) -> list[tuple[str, str]]:
    """`↑ max 812`, `↓ min -3`: how far the values go beyond the ends of the y axis."""
    axis, values = chart.y_axis, line.curve.values
    highest, lowest = max(values.highs, default=axis.high), min(values.lows, default=axis.low)
    margin = 1e-9 * max(abs(axis.low), abs(axis.high))
    notes = [(f"  ↑ max {format_compact(highest)}", MUTED)] if highest > axis.high + margin else []
    if lowest < axis.low - margin:
        notes.append((f"  ↓ min {format_compact(lowest)}", MUTED))
    return [] if axis.scale == "log" else notes


def _value_text(line: Line) -> str:
    """`.913`; of the mean of repeats `.913±.004`."""
    spread = "" if line.deviation is None else f"±{format_compact(line.deviation)}"
    return format_compact(line.at_cursor) + spread


def legend(chart_names: Sequence[tuple[str, str]], styles: RunStyles, width: int) -> list[tuple[str, str]]:
    """`1 lr.1  2 lr.01`: the marks of the runs (id and name), in as many cells as there are."""
    each = max(4, width // max(1, len(chart_names)) - 4)
    return [
        (f"{styles[run_id].mark} {truncate(sanitize(name), each)}  ", styles[run_id].color)
        for run_id, name in chart_names
    ]


def shorten_name(name: str, width: int) -> str:
    """The name of a metric in `width` cells; of a longer one the end, in which names differ."""
    if cell_width(name) <= width:
        return name
    while cell_width(name) > max(0, width - 1):
        name = name[1:]
    return "…" + name if width > 0 else ""
