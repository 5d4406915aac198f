"""What a run on points learned, to draw: a line through them, or the region of each class between them."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.core.text import safe
from workbench.runs.metrics import EvaluationFile, LineDrawing, RegionsDrawing
from workbench.ui.base.status_style import MUTED
from workbench.ui.plots.curves import HELD_OUT, TRAIN, Metric
from workbench.ui.widgets.axes import Axis, fitted
from workbench.ui.widgets.plot import Drawing, Series

POINTS = Metric("points", "points", "free", train=False)
"""Stands among the metrics of a run whose evaluations say what to draw."""
STYLES = (TRAIN, HELD_OUT, "$success", "$secondary", "$accent")
GLYPHS, GROUNDS = "●×■▲◆", "░·▒:▓"
"""Of points and of regions, by class: told apart without colours too."""


def drawable(evaluation: EvaluationFile | None) -> bool:
    """Whether an evaluation has something to draw."""
    return evaluation is not None and evaluation.draw is not None


def drawn(
    draw: LineDrawing | RegionsDrawing,
    epoch: int,
    classes: Sequence[str],
    size: tuple[int, int],
    *,
    before: bool,
) -> Drawing:
    """A plot of `size` (cells of the plot itself) of what the weights of `epoch` predict.

    `before` shows what the model predicted before its first step, where that is on record.
    """
    when = "before training" if before and draw.before else f"epoch {epoch}"
    if isinstance(draw, LineDrawing):
        return _line(draw, when, before=before)
    return _regions(draw, [safe(name, 12) for name in classes], size, when, before=before)


def _line(draw: LineDrawing, when: str, *, before: bool) -> Drawing:
    x, y, predicted, first = draw.x, draw.y, draw.predicted, draw.before
    series = [Series("points", x, y, MUTED, "points")]
    if first:
        series.append(Series("before", x, first, HELD_OUT, "dashed"))
    title = [("fit", "bold"), (f" {when}", MUTED)]
    if not (before and first):
        series.append(Series("fit", x, predicted, TRAIN, "line"))
        title.append((" ─now", TRAIN))
    title.append((" ╌before", HELD_OUT) if first else ("", ""))
    return Drawing(series, fitted(x), fitted([*y, *predicted, *(first or ())]), (), title)


def _regions(
    draw: RegionsDrawing, classes: Sequence[str], size: tuple[int, int], when: str, *, before: bool
) -> Drawing:
    cells = (draw.before if before else None) or draw.cells
    x_axis, y_axis = Axis(*draw.x_range), Axis(*draw.y_range)
    series = _grounds(draw, cells, x_axis, y_axis, size)
    title = [("regions", "bold")]
    for label in sorted(set(draw.label)):
        style, glyph = STYLES[label % len(STYLES)], GLYPHS[label % len(GLYPHS)]
        own = [i for i, other in enumerate(draw.label) if other == label]
        xs, ys = [draw.x[i] for i in own], [draw.y[i] for i in own]
        series.append(Series(f"points {label}", xs, ys, style, "points", glyph))
        title.append((f" {glyph} {classes[label] if label < len(classes) else label}", style))
    if before or sum(len(words) for words, _ in title) + len(when) < size[0]:
        title.append((f"  {when}", MUTED))
    return Drawing(series, x_axis, y_axis, (), title)


def _grounds(
    draw: RegionsDrawing, cells: Sequence[int], x_axis: Axis, y_axis: Axis, size: tuple[int, int]
) -> list[Series]:
    """One series for each class: the cells of the plot where the model says it."""
    found: dict[int, tuple[list[float], list[float]]] = {}
    (width, height), (columns, rows) = size, (draw.columns, draw.rows)
    for row in range(height):
        for column in range(width):
            x, y = (column + 0.5) / width, (row + 0.5) / height
            label = cells[min(rows - 1, int(y * rows)) * columns + min(columns - 1, int(x * columns))]
            xs, ys = found.setdefault(label, ([], []))
            xs.append(x_axis.at(x))
            ys.append(y_axis.at(y))
    return [
        Series(f"region {label}", xs, ys, STYLES[label % len(STYLES)], "cells", GROUNDS[label % len(GROUNDS)])
        for label, (xs, ys) in sorted(found.items())
    ]
