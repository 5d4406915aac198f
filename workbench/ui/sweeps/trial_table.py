"""The rows of the sweeps pane: sweeps, and the trials of one, with a bar for each setting (parallel coordinates)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from workbench.core.text import cell_width, format_compact, sanitize, truncate
from workbench.sweeps.records import SweepDefinition, SweepStatus, TrialState, TrialSummary
from workbench.sweeps.space import ParamValue, Space, format_value
from workbench.sweeps.sweep_folder import SweepView
from workbench.ui.base.bars import BarStyle, bar
from workbench.ui.base.status_style import MUTED
from workbench.ui.widgets.table import CellContent, Cells, Column, Row, Table

VALUE_CELLS, BAR_CELLS, MIN_BAR_CELLS = 7, 12, 3
MIN_VALUE_CELLS = 6
BEST_STYLE = "bold $accent"
SWEEP_MARKS: dict[SweepStatus, tuple[str, str]] = {
    SweepStatus.RUNNING: ("●", "$primary"),
    SweepStatus.QUEUED: ("◦", "$secondary"),
    SweepStatus.STOPPING: ("●", "$warning"),
    SweepStatus.FINISHED: ("✓", "$success"),
    SweepStatus.STOPPED: ("■", "$warning"),
    SweepStatus.FAILED: ("✗", "$error"),
    SweepStatus.INTERRUPTED: ("✗", "$error"),
}
TRIAL_MARKS: dict[TrialState, tuple[str, str]] = {
    TrialState.WAITING: ("◦", "$secondary"),
    TrialState.RUNNING: ("●", "$primary"),
    TrialState.INTERRUPTED: ("■", "$warning"),
    TrialState.FINISHED: ("✓", "$success"),
    TrialState.PRUNED: ("-", MUTED),
    TrialState.FAILED: ("✗", "$error"),
}

SWEEP_COLUMNS = (
    Column("mark", "", 1, priority=9),
    Column("name", "sweep", 16, priority=8, min_width=12, stretch=True),
    Column("status", "status", 11, priority=3),
    Column("trials", "trials", 26, priority=6, min_width=9),
    Column("best", "best", 18, priority=7, min_width=6),
    Column("metric", "metric", 20, priority=4),
    Column("workers", "workers", 7, priority=1, align_right=True),
)


class SweepTable(Table):
    """The list of sweeps."""

    class RowHighlighted(Table.RowHighlighted):
        """The cursor moved to another sweep."""

    class RowSelected(Table.RowSelected):
        """Enter was pressed on a sweep."""


class TrialTable(Table):
    """The trials of one sweep."""

    class RowSelected(Table.RowSelected):
        """Enter was pressed on a trial."""


def sweep_row(view: SweepView) -> Row:
    """The row of a sweep; its key is its name."""
    best = view.summary.best_trial
    return Row(
        view.folder.name,
        {
            "mark": SWEEP_MARKS[view.status],
            "name": sanitize(view.folder.name),
            "status": str(view.status),
            "trials": _progress(view.summary.ended, view.definition.trials),
            "best": "" if best is None else _best(format_compact(best.value), best.number),
            "metric": (view.definition.metric, MUTED),
            "workers": str(view.workers or ""),
        },
    )


def _best(value: str, number: int) -> Callable[[int], CellContent]:
    long = f"{value} (trial {number})"
    return lambda width: long if cell_width(long) <= width else value


def _progress(done: int, total: int) -> Callable[[int], CellContent]:
    def content(width: int) -> CellContent:
        count = f"{done}/{total}"
        room = width - cell_width(count) - 1
        return f"{count} {''.join(bar(done / total, room, BarStyle.PROGRESS))}" if room > 3 else count

    return content


def trial_columns(definition: SweepDefinition) -> list[Column]:
    """The columns of the trials of a sweep: the metric, then one for each setting."""
    name = definition.metric.rpartition("/")[2]
    columns = [
        Column("number", "trial", 6, priority=9),
        Column("value", name[:10], max(MIN_VALUE_CELLS, len(name[:10])), priority=10, align_right=True),
    ]
    width = VALUE_CELLS + 1 + BAR_CELLS
    for index, (key, _) in enumerate(definition.params):
        short = sanitize(key.rpartition(".")[2])
        columns.append(
            Column(key, truncate(short, width), width, priority=5 - min(index, 4), min_width=VALUE_CELLS)
        )
    return columns


def trial_rows(view: SweepView, *, by_value: bool) -> list[Row]:
    """The trials: best first, or newest first; their keys are their numbers."""
    spaces, best = view.definition.spaces, view.summary.best
    return [
        _trial_row(trial, spaces, trial.number == best) for trial in order_trials(view, by_value=by_value)
    ]


def order_trials(view: SweepView, *, by_value: bool) -> Sequence[TrialSummary]:
    """The trials in the order of the table: finished ones best first, then the others; or all newest first."""
    newest = view.summary.trials[::-1]
    if not by_value:
        return newest
    sign = -1 if view.definition.minimize else 1

    def rank(trial: TrialSummary) -> tuple[bool, float]:
        value = -math.inf if trial.value is None else sign * trial.value
        return trial.state is TrialState.FINISHED, value

    return sorted(newest, key=rank, reverse=True)


def _trial_row(trial: TrialSummary, spaces: dict[str, Space], is_best: bool) -> Row:
    mark, style = TRIAL_MARKS[trial.state]
    style = BEST_STYLE if is_best else style
    text_style = BEST_STYLE if is_best else "" if trial.state is TrialState.FINISHED else MUTED
    cells: dict[str, CellContent | Callable[[int], CellContent]] = {
        "number": (f"{mark} {trial.number}", style),
        "value": (format_compact(trial.value), text_style),
    }
    for key, value in trial.params.items():
        if key in spaces:
            cells[key] = _param_cell(spaces[key], value, text_style)
    row: Cells = cells
    return Row(str(trial.number), row)


def _param_cell(space: Space, value: ParamValue, style: str) -> Callable[[int], CellContent]:
    """The value, and where it lies in its space."""

    def content(width: int) -> CellContent:
        room = width - VALUE_CELLS - 1
        text = truncate(sanitize(format_value(value)), VALUE_CELLS if room >= MIN_BAR_CELLS else width)
        if room < MIN_BAR_CELLS:
            return text, style
        filled, empty = bar(space.position(value), room, BarStyle.METRIC)
        return f"{text}{' ' * (VALUE_CELLS - cell_width(text))} {filled}{empty}", style

    return content
