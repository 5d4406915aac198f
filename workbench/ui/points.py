"""What a run on points learned, to draw: a line through them, or the region of each class between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.runs.records import epoch_of
from workbench.text import safe
from workbench.ui.curves import HELD_OUT, TRAIN, Metric
from workbench.ui.marks import MUTED
from workbench.ui.widgets.plot import Drawing, Series
from workbench.ui.widgets.series import Axis, fitted

POINTS = Metric("points", "points", "free", train=False)
"""Stands among the metrics of a run whose evaluations say what to draw."""
STYLES = (TRAIN, HELD_OUT, "$success", "$secondary", "$accent")
GLYPHS, GROUNDS = "●×■▲◆", "░·▒:▓"
"""Of points and of regions, by class: told apart without colours too."""


def drawable(evaluation: Mapping[str, Any] | None) -> bool:
    """Whether an evaluation file says what to draw."""
    draw = (evaluation or {}).get("draw")
    return isinstance(draw, Mapping) and draw.get("kind") in {"line", "regions"}


def drawn(
    evaluation: Mapping[str, Any], classes: Sequence[object], size: tuple[int, int], *, before: bool
) -> Drawing:
    """A plot of `size` (cells of the plot itself) for an evaluation with something to draw.

    `before` shows what the model said before its first step, where that is on record.
    """
    draw, epoch = evaluation["draw"], epoch_of(evaluation)
    when = "before training" if before and draw.get("before") else f"epoch {epoch}"
    if draw["kind"] == "line":
        return _line(draw, when, before=before)
    return _regions(draw, [safe(name, 12) for name in classes], size, when, before=before)


def _line(draw: Mapping[str, Any], when: str, *, before: bool) -> Drawing:
    x, y, said, first = draw["x"], draw["y"], draw["said"], draw.get("before")
    series = [Series("points", x, y, MUTED, "points")]
    if first:
        series.append(Series("before", x, first, HELD_OUT, "dashed"))
    title = [("fit", "bold"), (f" {when}", MUTED)]
    if not (before and first):
        series.append(Series("fit", x, said, TRAIN, "line"))
        title.append((" ─now", TRAIN))
    title.append((" ╌before", HELD_OUT) if first else ("", ""))
    return Drawing(series, fitted(x), fitted([*y, *said, *(first or ())]), (), title)


def _regions(
    draw: Mapping[str, Any], classes: Sequence[str], size: tuple[int, int], when: str, *, before: bool
) -> Drawing:
    cells: Sequence[int] = (before and draw.get("before")) or draw["cells"]
    x_axis, y_axis = Axis(*draw["x_range"]), Axis(*draw["y_range"])
    series = _grounds(draw, cells, x_axis, y_axis, size)
    title = [("regions", "bold")]
    for label in sorted(set(draw["label"])):
        style, glyph = STYLES[label % len(STYLES)], GLYPHS[label % len(GLYPHS)]
        own = [i for i, other in enumerate(draw["label"]) if other == label]
        xs, ys = [draw["x"][i] for i in own], [draw["y"][i] for i in own]
        series.append(Series(f"points {label}", xs, ys, style, "points", glyph))
        title.append((f" {glyph} {classes[label] if label < len(classes) else label}", style))
    if before or sum(len(words) for words, _ in title) + len(when) < size[0]:
        title.append((f"  {when}", MUTED))
    return Drawing(series, x_axis, y_axis, (), title)


def _grounds(
    draw: Mapping[str, Any], cells: Sequence[int], x_axis: Axis, y_axis: Axis, size: tuple[int, int]
) -> list[Series]:
    """One series for each class: the cells of the plot where the model says it."""
    found: dict[int, tuple[list[float], list[float]]] = {}
    (width, height), (columns, rows) = size, (draw["columns"], draw["rows"])
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
