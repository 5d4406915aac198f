"""What the sweeps pane draws of a sweep: its history, the importances, and the results over one setting."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import accumulate

from textual.content import Content

from workbench.charts.axes import Axis, Unit, fit_axis
from workbench.core.text import cell_width, format_compact, pad, sanitize
from workbench.sweeps.records import SweepDefinition, TrialState, TrialSummary
from workbench.sweeps.space import Choices, Range
from workbench.sweeps.sweep_folder import SweepView
from workbench.ui.base.bars import BarStyle, bar
from workbench.ui.base.status_style import MUTED
from workbench.ui.widgets.plot import Drawing, Mark, Series

POINT, BEST_STYLE, POINT_STYLE = "•", "$accent", "$primary"
NAME_CELLS, SHARE_CELLS = 16, 5
MIN_BAR_CELLS = 4


def _points(view: SweepView, state: TrialState) -> list[tuple[TrialSummary, float]]:
    return [
        (t, t.value) for t in view.summary.trials if t.state is state and t.value is not None
    ]  # a failed trial has none


def draw_history(view: SweepView) -> Drawing | None:
    """The metric of each trial, with the best so far as a line; `None` before the first result."""
    finished, pruned = _points(view, TrialState.FINISHED), _points(view, TrialState.PRUNED)
    if not finished:
        return None
    best = min if view.definition.minimize else max
    so_far = list(accumulate((value for _, value in finished), best))
    line = _stairs([trial.number for trial, _ in finished], so_far, view.summary.trials[-1].number)
    series = [
        Series("pruned", [t.number for t, _ in pruned], [v for _, v in pruned], MUTED, "points", "·"),
        Series("best so far", *line, BEST_STYLE),
        Series("trial", [t.number for t, _ in finished], [v for _, v in finished], POINT_STYLE, "points", POINT),
    ]  # fmt: skip
    x_axis = Axis(0.0, float(max(view.definition.trials - 1, 1)), unit="count")
    title = [
        (f"{view.definition.metric} by trial", MUTED), (f"  ─ best {format_compact(so_far[-1])}", BEST_STYLE),
    ]  # fmt: skip
    return Drawing(series, x_axis, _value_axis(finished), (), title)


def _stairs(xs: Sequence[float], ys: Sequence[float], end: float) -> tuple[Sequence[float], Sequence[float]]:
    """A line that keeps each value until the next one."""
    stairs: list[tuple[float, float]] = []
    for x, y in zip(xs, ys, strict=True):
        stairs += [(x, stairs[-1][1])] if stairs else []
        stairs.append((x, y))
    stairs.append((end, stairs[-1][1]))
    return [x for x, _ in stairs], [y for _, y in stairs]


def _value_axis(points: Sequence[tuple[TrialSummary, float]]) -> Axis:
    """From the worst finished trial, but a few that are far worse, to the best one."""
    values = [value for _, value in points if math.isfinite(value)]
    return fit_axis(values)


def draw_marginal(view: SweepView, key: str) -> Drawing | None:
    """The metric over the values of one setting that is a range; `None` before the first result, or of choices."""
    space, finished = view.definition.spaces.get(key), _points(view, TrialState.FINISHED)
    if not isinstance(space, Range) or not finished:
        return None
    pruned = _points(view, TrialState.PRUNED)
    series = [
        Series(name, [_number(t, key) for t, _ in points], [v for _, v in points], style, "points", glyph)
        for name, points, style, glyph in (
            ("pruned", pruned, MUTED, "·"), ("trial", finished, POINT_STYLE, POINT)
        )
    ]  # fmt: skip
    marks = []
    if (best := view.summary.best_trial) is not None and best.value is not None:
        marks.append(Mark(_number(best, key), best.value, POINT, f"trial {best.number}", BEST_STYLE))
    unit: Unit = "count" if space.whole else "number"
    axis = Axis(float(space.low), float(space.high), "log" if space.log else "linear", unit)
    title = [(f"{view.definition.metric} by {sanitize(key)}", MUTED)]
    return Drawing(series, axis, _value_axis(finished), marks, title)


def _number(trial: TrialSummary, key: str) -> float:
    value = trial.params.get(key, math.nan)
    return math.nan if isinstance(value, str) else float(value)


def choice_lines(view: SweepView, key: str, width: int) -> list[Content]:
    """The results of each choice of a setting: mean, best, and number of trials."""
    space, finished = view.definition.spaces.get(key), _points(view, TrialState.FINISHED)
    if not isinstance(space, Choices):
        return []
    best_of = min if view.definition.minimize else max
    values = {choice: [v for t, v in finished if t.params.get(key) == choice] for choice in space.values}
    known = [value for found in values.values() for value in found]
    low, high = min(known, default=0.0), max(known, default=1.0)
    lines = [Content.styled(f"{view.definition.metric} by {sanitize(key)}", MUTED)]
    for choice, found in values.items():
        name = pad(sanitize(choice), NAME_CELLS)
        if not found:
            lines.append(Content.assemble(name, ("  no result", MUTED)))
            continue
        mean = statistics.fmean(found)
        text = f"  mean {format_compact(mean)}  best {format_compact(best_of(found))}  n {len(found)}"
        room = width - NAME_CELLS - cell_width(text) - 1
        position = (mean - low) / (high - low) if high > low else 1.0
        filled, empty = bar(position, max(room, 0), BarStyle.METRIC)
        lines.append(Content.assemble(name, " ", (filled, POINT_STYLE), (empty, MUTED), text))
    return lines


def importance_lines(view: SweepView, width: int, shown: str) -> list[Content]:
    """How much each setting explains, most first, with a mark at the one whose results are `shown`."""
    importances = view.summary.importances
    title = "importance of the settings" if importances else "importance of the settings: after five results"
    lines = [Content.styled(title, MUTED)]
    keys = [*importances, *(key for key, _ in view.definition.params if key not in importances)]
    room = max(width - NAME_CELLS - SHARE_CELLS - 3, MIN_BAR_CELLS)
    for key in keys:
        share = importances.get(key)
        filled, empty = bar(share or 0.0, room, BarStyle.METRIC)
        name = pad(sanitize(key.rpartition(".")[2]), NAME_CELLS)
        text = "" if share is None else f"{share:>4.0%}"
        mark = "▸" if key == shown else " "
        lines.append(
            Content.assemble((mark, "$accent"), name, " ", (filled, POINT_STYLE), (empty, MUTED), f" {text}")
        )
    return lines


def param_keys(definition: SweepDefinition) -> list[str]:
    """The settings of a sweep by full name, as the user gave them."""
    return [key for key, _ in definition.params]
