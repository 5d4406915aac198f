"""Charts in the formats of files: SVG, CSV, and text as the screen draws it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from workbench.charts.chart_files import FILE_COLUMNS, to_csv, to_svg
from workbench.charts.chart_options import ChartOptions
from workbench.charts.chart_set import Chart, ChartSet
from workbench.ui.charts.chart_drawing import draw_chart, legend
from workbench.ui.charts.run_styles import RunStyles
from workbench.ui.widgets.plot import LABEL_GUTTER, render_drawing

FORMATS = {
    "png": "a picture for slides and documents",
    "svg": "a picture that can be scaled and searched",
    "csv": "their points",
    "txt": "the charts as text",
}
TEXT_WIDTH, TEXT_HEIGHT = 100, 18
"""The size of a chart as text, in cells."""


def export_charts(
    charts: ChartSet, metrics: Sequence[str], names: Mapping[str, str], options: ChartOptions, format: str
) -> Callable[[], bytes]:
    """What makes the content of a file with the charts of some metrics; `names`: those of the runs, by their ids.

    It needs the charts no more, so that it may be called in another thread.
    """
    charts.index_completely()
    if format == "txt":
        text = _to_text(charts, metrics, names, options)
        return text.encode
    drawn = [charts.chart(metric, options, FILE_COLUMNS) for metric in metrics]
    if format == "png":
        return partial(_to_png, drawn, dict(names), options)
    return (to_svg if format == "svg" else to_csv)(drawn, names, options).encode


def _to_png(drawn: Sequence[Chart], names: Mapping[str, str], options: ChartOptions) -> bytes:
    """Pillow takes a while to be imported."""
    from workbench.charts.chart_png import to_png  # noqa: PLC0415

    return to_png(drawn, names, options)


def _to_text(
    charts: ChartSet, metrics: Sequence[str], names: Mapping[str, str], options: ChartOptions
) -> str:
    styles = RunStyles()
    styles.show(list(names))
    lines = []
    if len(names) > 1:
        lines += ["".join(text for text, _ in legend(list(names.items()), styles, TEXT_WIDTH)), ""]
    for metric in metrics:
        chart = charts.chart(metric, options, 2 * (TEXT_WIDTH - LABEL_GUTTER))
        drawing = draw_chart(chart, options, styles, TEXT_WIDTH, selected=False)
        rows = render_drawing(drawing, TEXT_WIDTH, TEXT_HEIGHT)
        lines += ["".join(text for text, _ in row).rstrip() for row in rows]
        lines.append("")
    return "\n".join(line.rstrip() for line in lines)


def unused_path(folder: Path, run_ids: Sequence[str], format: str) -> Path:
    """A file that does not exist: `charts-RUN.svg`, with `-2` etc. if needed; `charts-3-runs.svg` for several runs."""
    stem = f"charts-{run_ids[0]}" if len(run_ids) == 1 else f"charts-{len(run_ids)}-runs"
    path, count = folder / f"{stem}.{format}", 1
    while path.exists():
        count += 1
        path = folder / f"{stem}-{count}.{format}"
    return path
