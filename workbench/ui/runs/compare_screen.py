"""Comparison of runs: their curves in one plot, their results and settings in a table below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from workbench.core.text import format_compact, format_setting, sanitize
from workbench.runs.comparison import ComparedRun, compare_runs, differing_keys, display_names
from workbench.runs.metric_direction import ranking_key
from workbench.runs.metrics import EvaluationFile
from workbench.runs.reader import RunReader, RunView
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import newest_evaluation, read_evaluation
from workbench.runs.store import RunSummary
from workbench.ui.plots.curves import LOSS, LR, POINTS_PER_CELL, THROUGHPUT, Curves, Metric, PlotOptions
from workbench.ui.widgets.axes import Axis, fit_axis, fraction_axis
from workbench.ui.widgets.plot import Drawing, Plot, Series
from workbench.ui.widgets.table import Column, Row, Table

STYLES = ("$primary", "$warning", "$success", "$secondary", "$accent", "$error")
MAX_RUNS = 6
"""The most runs in one plot: one for each style."""
NAME_WIDTH = 14


@dataclass(frozen=True)
class RunComparison:
    """The records of several runs, and their results and settings as `workbench compare` prints them."""

    views: Sequence[RunView]
    runs: Sequence[ComparedRun]


def read_comparison(folders: Sequence[RunFolder]) -> RunComparison:
    """Read all records of these runs. Raises `OSError`."""
    views = []
    for folder in folders:
        reader = RunReader(folder)
        views.append(reader.read_all())
        reader.close()
    return RunComparison(views, compare_runs(list(folders)))


def read_newest_evaluation(folder: RunFolder) -> EvaluationFile | None:
    """The final evaluation of a run if there is one, else its newest; `None` for a run without evaluations."""
    reader = RunReader(folder)
    try:
        return read_evaluation(folder, newest_evaluation(reader.read_all()))
    finally:
        reader.close()


def runs_to_compare(
    selected: RunSummary | None, marked: Sequence[RunSummary], rows: Sequence[RunSummary]
) -> list[RunSummary]:
    """The selected run (if fewer than two are marked) and the marked runs; for a single run, also the best other
    run on the same dataset.
    """
    runs = {row.id: row for row in ([selected] if selected and len(marked) < 2 else []) + list(marked)}
    if len(runs) == 1 and selected is not None:
        others = [row for row in rows if row.id != selected.id and row.best is not None]
        same_data = [
            row for row in others if (row.dataset, row.monitor) == (selected.dataset, selected.monitor)
        ]
        best = sorted(same_data or others, key=lambda row: ranking_key(row.monitor, row.best), reverse=True)
        runs.update({row.id: row for row in best[:1]})
    return list(runs.values())[:MAX_RUNS]


def overlay_curves(curves: Sequence[Curves], metric: Metric, columns: int) -> Drawing:
    """One plot, `columns` cells wide, with a curve per run: `metric` on the held-out split, else on training data.

    The title names the split: once before the metric if all runs share it, else after each value.
    """
    end = max((run.x_axis(PlotOptions()).high for run in curves), default=1.0)
    x_axis = Axis(0.0, end)
    splits = [_split(run, metric) for run in curves]
    shared = splits[0] if len(set(splits)) == 1 else ""
    series, title = [], [(f"{shared} {metric.label}".lstrip(), "bold")]
    for number, run in enumerate(curves):
        style = STYLES[number % len(STYLES)]
        xs, ys = _curve(run, metric, x_axis, columns)
        series.append(Series(f"run {number}", xs, ys, style, "line" if len(xs) > 1 else "points", ""))
        name = sanitize(run.view.name if run.view else "", NAME_WIDTH)
        split = "" if shared else f" {splits[number]}".rstrip()
        title.append((f"  ─{name} {format_compact(ys[-1]) if ys else '-'}{split}", style))
    values = [value for one in series for value in one.ys]
    if metric.kind == "share":
        y_axis = fraction_axis(values)
    else:
        y_axis = fit_axis([0.0, *values] if metric.kind == "amount" else values)
    return Drawing(series, x_axis, y_axis, (), title)


def _split(run: Curves, metric: Metric) -> str:
    """The split whose values `_curve` draws; empty for metrics that only training has."""
    if metric in (LR, THROUGHPUT):
        return ""
    return run.split if len(run.held_out(metric)) else "train"


def _curve(run: Curves, metric: Metric, x_axis: Axis, columns: int) -> tuple[list[float], list[float]]:
    held_out = run.held_out(metric)
    means = (held_out if len(held_out) else run.train(metric)).reduce(x_axis, columns * POINTS_PER_CELL)
    return means.xs, means.ys


def table_columns(runs: Sequence[ComparedRun]) -> list[Column]:
    """A column of labels and one per run; in a narrow table the first runs are kept."""
    keys = max((len(key) for key in differing_keys(runs)), default=8)
    columns = [
        Column(str(number), sanitize(name, 22), 22, priority=len(runs) - number, min_width=10)
        for number, name in enumerate(display_names(runs))
    ]
    return [Column("key", "", min(24, keys), priority=100), *columns]


def table_rows(runs: Sequence[ComparedRun]) -> list[Row]:
    """A row for each result and for each setting that differs."""
    rows = []
    for key in differing_keys(runs):
        cells = {str(number): sanitize(format_setting(run.row.get(key))) for number, run in enumerate(runs)}
        rows.append(Row(key, {"key": key, **cells}))
    return rows


class CompareScreen(ModalScreen[None]):
    """The curves of several runs in one plot, and a table of their results; `m` cycles through the metrics."""

    DEFAULT_CSS = """
    CompareScreen { align: center middle; }
    CompareScreen > Vertical {
        width: 100%; height: 100%; border: round $accent; background: $surface; padding: 0 1;
    }
    CompareScreen Plot { height: 1fr; }
    CompareScreen Table { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,equals_sign", "dismiss", "back"),
        Binding("m", "metric", "metric"),
    ]

    def __init__(self, comparison: RunComparison) -> None:
        super().__init__()
        self._comparison = comparison
        self._curves = [Curves() for _ in comparison.views]
        for curves, view in zip(self._curves, comparison.views, strict=True):
            curves.update(view)
        self.metric = LOSS

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = f"compare {len(self._curves)} runs"
            frame.border_subtitle = "m metric  esc back"
            yield Plot()
            yield Table()

    def on_mount(self) -> None:
        runs = self._comparison.runs
        self.query_one(Table).show(table_columns(runs), table_rows(runs))
        self.query_one(Table).focus()
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def action_metric(self) -> None:
        """Plot the next metric that all runs have."""
        shared = [m for m in self._curves[0].metrics if all(m in run.metrics for run in self._curves)]
        self.metric = shared[(shared.index(self.metric) + 1) % len(shared)]
        self._draw()

    def _draw(self) -> None:
        plot = self.query_one(Plot)
        drawing = overlay_curves(self._curves, self.metric, plot.columns)
        plot.draw(drawing.series, drawing.x_axis, drawing.y_axis, drawing.marks, drawing.title)
