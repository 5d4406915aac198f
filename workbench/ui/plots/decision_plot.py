"""Decision plots of runs on 1D or 2D points: the fitted line, or the decision region of each class."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.charts.axes import Axis, fit_axis
from workbench.core.distinct_names import shorten_distinct
from workbench.core.text import sanitize
from workbench.runs.metrics import EvaluationFile, LineDrawing, RegionsDrawing
from workbench.ui.base.status_style import MUTED
from workbench.ui.plots.curves import HELD_OUT_STYLE, TRAIN_STYLE, Metric
from workbench.ui.widgets.plot import Drawing, Series

POINTS = Metric("points", "points", "free", train=False)
"""Listed among the metrics of a run whose evaluations contain a decision plot."""
CLASS_STYLES = (TRAIN_STYLE, HELD_OUT_STYLE, "$success", "$secondary", "$accent")
POINT_GLYPHS, REGION_GLYPHS = "●×■▲◆", "░·▒+▓"
"""Glyphs of points and regions by class, distinguishable without colors, in ASCII too."""
NAME_WIDTH = 12
"""Cells of a class in the legend."""


def has_drawing(evaluation: EvaluationFile | None) -> bool:
    """Whether an evaluation contains a decision plot."""
    return evaluation is not None and evaluation.draw is not None


def decision_drawing(
    draw: LineDrawing | RegionsDrawing,
    epoch: int,
    classes: Sequence[str],
    size: tuple[int, int],
    *,
    before: bool,
) -> Drawing:
    """A plot of the predictions of the weights of `epoch`; `size`: columns and rows of the plot area.

    `before`: draw the predictions before the first training step instead, if they were recorded.
    """
    when = "before training" if before and draw.before else f"epoch {epoch}"
    if isinstance(draw, LineDrawing):
        return _line(draw, when, before=before)
    return _regions(
        draw, shorten_distinct([sanitize(name) for name in classes], NAME_WIDTH), size, when, before=before
    )


def _line(draw: LineDrawing, when: str, *, before: bool) -> Drawing:
    x, y, predicted, first = draw.x, draw.y, draw.predicted, draw.before
    series = [Series("points", x, y, MUTED, "points")]
    if first:
        series.append(Series("before", x, first, HELD_OUT_STYLE, "dashed"))
    title = [("fit", "bold"), (f" {when}", MUTED)]
    if not (before and first):
        series.append(Series("fit", x, predicted, TRAIN_STYLE, "line"))
        title.append((" ─now", TRAIN_STYLE))
    title.append((" ╌before", HELD_OUT_STYLE) if first else ("", ""))
    return Drawing(series, fit_axis(x), fit_axis([*y, *predicted, *(first or ())]), (), title)


def _regions(
    draw: RegionsDrawing, classes: Sequence[str], size: tuple[int, int], when: str, *, before: bool
) -> Drawing:
    cells = (draw.before if before else None) or draw.cells
    x_axis, y_axis = Axis(*draw.x_range), Axis(*draw.y_range)
    series = _region_series(draw, cells, x_axis, y_axis, size)
    title = [("regions", "bold")]
    for label in sorted(set(draw.label)):
        style, glyph = CLASS_STYLES[label % len(CLASS_STYLES)], POINT_GLYPHS[label % len(POINT_GLYPHS)]
        indices = [i for i, other in enumerate(draw.label) if other == label]
        xs, ys = [draw.x[i] for i in indices], [draw.y[i] for i in indices]
        series.append(Series(f"points {label}", xs, ys, style, "points", glyph))
        title.append((f" {glyph} {classes[label] if label < len(classes) else label}", style))
    if before or sum(len(text) for text, _ in title) + len(when) < size[0]:
        title.append((f"  {when}", MUTED))
    return Drawing(series, x_axis, y_axis, (), title)


def _region_series(
    draw: RegionsDrawing, cells: Sequence[int], x_axis: Axis, y_axis: Axis, size: tuple[int, int]
) -> list[Series]:
    """One series per class: the cells of the plot where the model predicts that class."""
    centers: dict[int, tuple[list[float], list[float]]] = {}
    (width, height), (columns, rows) = size, (draw.columns, draw.rows)
    for row in range(height):
        for column in range(width):
            x, y = (column + 0.5) / width, (row + 0.5) / height
            label = cells[min(rows - 1, int(y * rows)) * columns + min(columns - 1, int(x * columns))]
            xs, ys = centers.setdefault(label, ([], []))
            xs.append(x_axis.value_at(x))
            ys.append(y_axis.value_at(y))
    return [
        Series(
            f"region {label}",
            xs,
            ys,
            CLASS_STYLES[label % len(CLASS_STYLES)],
            "cells",
            REGION_GLYPHS[label % len(REGION_GLYPHS)],
        )
        for label, (xs, ys) in sorted(centers.items())
    ]
