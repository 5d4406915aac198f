"""Runs held against each other: their curves in one plot, and their results and settings in a table under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from workbench.core.text import safe, setting, short
from workbench.runs.comparison import ComparedRun, compare_runs, differing, names_of
from workbench.runs.metric_direction import rank
from workbench.runs.metrics import EvaluationFile
from workbench.runs.reader import RunReader, RunView
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import newest_evaluation, read_evaluation
from workbench.runs.store import RunSummary
from workbench.ui.plots.curves import LOSS, LR, PER_CELL, THROUGHPUT, Curves, Look, Metric
from workbench.ui.widgets.axes import Axis, fitted, share_axis
from workbench.ui.widgets.plot import Drawing, Plot, Series
from workbench.ui.widgets.table import Column, Row, Table

STYLES = ("$primary", "$warning", "$success", "$secondary", "$accent", "$error")
MOST = 6
"""Runs that are told apart in one plot."""
NAME = 14


@dataclass(frozen=True)
class Compared:
    """The curves of some runs, and their results and settings as `workbench compare` shows them."""

    views: Sequence[RunView]
    runs: Sequence[ComparedRun]


def read_all(folders: Sequence[RunFolder]) -> Compared:
    """Read these runs whole. Raises `OSError`."""
    views = []
    for folder in folders:
        reader = RunReader(folder)
        views.append(reader.read_all())
        reader.close()
    return Compared(views, compare_runs(list(folders)))


def newest_of(folder: RunFolder) -> EvaluationFile | None:
    """The result of a run with its classes, else its newest evaluation; `None` where there is none."""
    reader = RunReader(folder)
    try:
        return read_evaluation(folder, newest_evaluation(reader.read_all()))
    finally:
        reader.close()


def to_compare(
    selected: RunSummary | None, marked: Sequence[RunSummary], rows: Sequence[RunSummary]
) -> list[RunSummary]:
    """The marked runs, the selected one first; of one run alone, it and the best of the same data."""
    chosen = {row.id: row for row in ([selected] if selected and len(marked) < 2 else []) + list(marked)}
    if len(chosen) == 1 and selected is not None:
        others = [row for row in rows if row.id != selected.id and row.best is not None]
        alike = [row for row in others if (row.dataset, row.monitor) == (selected.dataset, selected.monitor)]
        best = sorted(alike or others, key=lambda row: rank(row.monitor, row.best), reverse=True)
        chosen.update({row.id: row for row in best[:1]})
    return list(chosen.values())[:MOST]


def overlaid(curves: Sequence[Curves], metric: Metric, columns: int) -> Drawing:
    """One plot of `columns` cells: the watched split's `metric` of every run, or that of training without one.

    The title names the split: before the metric where it is that of all of them, else behind each figure.
    """
    end = max((run.x_axis(Look()).high for run in curves), default=1.0)
    x_axis = Axis(0.0, end)
    splits = [_split(run, metric) for run in curves]
    shared = splits[0] if len(set(splits)) == 1 else ""
    series, title = [], [(f"{shared} {metric.label}".lstrip(), "bold")]
    for place, run in enumerate(curves):
        style = STYLES[place % len(STYLES)]
        xs, ys = _curve(run, metric, x_axis, columns)
        series.append(Series(f"run {place}", xs, ys, style, "line" if len(xs) > 1 else "points", ""))
        name = safe(run.view.name if run.view else "", NAME)
        split = "" if shared else f" {splits[place]}".rstrip()
        title.append((f"  ─{name} {short(ys[-1]) if ys else '-'}{split}", style))
    values = [value for one in series for value in one.ys]
    if metric.kind == "share":
        y_axis = share_axis(values)
    else:
        y_axis = fitted([0.0, *values] if metric.kind == "amount" else values)
    return Drawing(series, x_axis, y_axis, (), title)


def _split(run: Curves, metric: Metric) -> str:
    """Whose figures `_curve` draws; nothing for what only training has."""
    if metric in (LR, THROUGHPUT):
        return ""
    return run.split if len(run.held_out(metric)) else "train"


def _curve(run: Curves, metric: Metric, x_axis: Axis, columns: int) -> tuple[list[float], list[float]]:
    measured = run.held_out(metric)
    means = (measured if len(measured) else run.train(metric)).reduce(x_axis, columns * PER_CELL)
    return means.xs, means.ys


def table_columns(runs: Sequence[ComparedRun]) -> list[Column]:
    """A column for what is compared and one a run, the first runs kept where there is little room."""
    keys = max((len(key) for key in differing(runs)), default=8)
    columns = [
        Column(str(place), safe(name, 22), 22, keep=len(runs) - place, least=10)
        for place, name in enumerate(names_of(runs))
    ]
    return [Column("what", "", min(24, keys), keep=100), *columns]


def table_rows(runs: Sequence[ComparedRun]) -> list[Row]:
    """A row for each result and each setting that differs."""
    values, found = [run.values for run in runs], []
    for key in differing(runs):
        cells = {str(place): safe(setting(row.get(key))) for place, row in enumerate(values)}
        found.append(Row(key, {"what": key, **cells}))
    return found


class CompareScreen(ModalScreen[None]):
    """The curves of some runs over each other, and a table; `m` goes through the metrics."""

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

    def __init__(self, compared: Compared) -> None:
        super().__init__()
        self._compared = compared
        self._curves = [Curves() for _ in compared.views]
        for curves, view in zip(self._curves, compared.views, strict=True):
            curves.follow(view)
        self.metric = LOSS

    def compose(self) -> ComposeResult:
        """The plot over the table."""
        with Vertical() as frame:
            frame.border_title = f"compare {len(self._curves)} runs"
            frame.border_subtitle = "m metric  esc back"
            yield Plot()
            yield Table()

    def on_mount(self) -> None:
        """Show them."""
        runs = self._compared.runs
        self.query_one(Table).show(table_columns(runs), table_rows(runs))
        self.query_one(Table).focus()
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        """As many columns as there are."""
        self.call_after_refresh(self._draw)

    def action_metric(self) -> None:
        """The next metric that all of them have."""
        shared = [m for m in self._curves[0].metrics if all(m in run.metrics for run in self._curves)]
        self.metric = shared[(shared.index(self.metric) + 1) % len(shared)]
        self._draw()

    def _draw(self) -> None:
        plot = self.query_one(Plot)
        drawing = overlaid(self._curves, self.metric, plot.columns)
        plot.draw(drawing.series, drawing.x_axis, drawing.y_axis, drawing.marks, drawing.title)
