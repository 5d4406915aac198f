"""Comparison of runs: their curves in one plot, their results and settings in a table below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from workbench.charts.axes import Axis, Curve, smooth
from workbench.core.distinct_names import shorten_distinct
from workbench.core.text import cell_width, format_compact, format_setting, sanitize
from workbench.runs.class_comparison import METRIC_TITLES, ClassComparison, compare_classes
from workbench.runs.comparison import ComparedRun, compare_runs, display_names
from workbench.runs.metrics import CLASS_METRICS, ClassMetric, EvaluationFile
from workbench.runs.reader import RunView, read_view
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import newest_evaluation, read_evaluation
from workbench.runs.scores import Score, score_key, split_label
from workbench.runs.store import RunSummary
from workbench.ui.base.dialog import Dialog
from workbench.ui.base.status_style import MUTED
from workbench.ui.plots.curves import (
    CURSOR_STYLE,
    LOSS,
    LR,
    POINTS_PER_CELL,
    THROUGHPUT,
    Curves,
    Metric,
    value_at,
)
from workbench.ui.plots.plot_options import PlotOptions, clipped_note
from workbench.ui.runs.compare_tables import (
    class_columns,
    class_rows,
    table_columns,
    table_rows,
)
from workbench.ui.widgets.plot import Drawing, Mark, Plot, Series
from workbench.ui.widgets.table import Table
from workbench.ui.widgets.text_screen import TextScreen

STYLES = ("$primary", "$warning", "$success", "$secondary", "$accent", "$error")
MAX_RUNS = 6
"""The most runs in one plot: one for each style."""
MIN_NAME_WIDTH, MAX_NAME_WIDTH = 6, 30
"""Cells of a name in the plot's title; fewer say nothing, and its number stands alone."""
NO_CLASSES = "fewer than two have metrics of classes"


@dataclass(frozen=True)
class RunComparison:
    """The records of several runs, and their results and settings as `workbench compare` prints them."""

    views: Sequence[RunView]
    runs: Sequence[ComparedRun]
    classes: ClassComparison


def read_comparison(folders: Sequence[RunFolder]) -> RunComparison:
    """Read all records of these runs. Raises `OSError`."""
    views = [read_view(folder) for folder in folders]
    return RunComparison(views, compare_runs(views), compare_classes(views))


def read_newest_evaluation(folder: RunFolder, split: str = "") -> EvaluationFile | None:
    """The newest evaluation on `split`, else the final one, else the newest; `None` for a run without evaluations."""
    view = read_view(folder)
    same_split = [row for row in view.evaluations if row.split == split]
    return read_evaluation(folder, same_split[-1] if same_split else newest_evaluation(view))


def runs_to_compare(
    selected: RunSummary | None, marked: Sequence[RunSummary], rows: Sequence[RunSummary]
) -> list[RunSummary]:
    """The selected run (if fewer than two are marked) and the marked runs; for a single run, also the best other
    run on the same dataset.
    """
    runs = {row.id: row for row in ([selected] if selected and len(marked) < 2 else []) + list(marked)}
    if len(runs) == 1 and selected is not None:
        others = [row for row in rows if row.id != selected.id and _selecting_score(row) is not None]
        same_kind = [row for row in others if _kind(row) == _kind(selected)]
        best = sorted(same_kind or others, key=lambda row: score_key(_selecting_score(row)), reverse=True)
        runs.update({row.id: row for row in best[:1]})
    return list(runs.values())[:MAX_RUNS]


def _kind(row: RunSummary) -> tuple[str, str]:
    """What two runs have in common that can be compared: the dataset and the metric, or what is logged."""
    score = _selecting_score(row)
    return row.dataset, row.monitor or (score.label if score else "")


def _selecting_score(row: RunSummary) -> Score | None:
    """The figure by which a run is the best: of a script or a log its newest one."""
    return row.best_score or (None if row.is_training else row.logged)


def overlay_curves(
    curves: Sequence[Curves],
    names: Sequence[str],
    metric: Metric,
    options: PlotOptions,
    *,
    size: tuple[int, int],
    previous: Axis | None = None,
) -> Drawing:
    """One plot with a curve per run: `metric` on the held-out split, else on training data.

    `size`: columns of the plot and cells of its title; `previous`: the y axis before, kept while it fits. The number
    of a run is at the end of its curve and in the title, which names the metric and the split: once if all runs
    share the split, else for each run.
    """
    columns, width = size
    x_axis = overlay_x_axis(curves, options)
    series, marks = (
        [],
        [] if options.cursor is None else [Mark(x=options.cursor, glyph="│", style=CURSOR_STYLE)],
    )
    for number, run in enumerate(curves):
        style = STYLES[number % len(STYLES)]
        points = _curve(run, metric).reduce(x_axis, columns * POINTS_PER_CELL)
        ys = smooth(points.ys, options.smoothing)
        series.append(
            Series(f"run {number + 1}", points.xs, ys, style, "line" if len(ys) > 1 else "points", "")
        )
        if ys:
            marks.append(Mark(points.xs[-1], ys[-1], str(number + 1), style=style))
    values = [value for one in series for value in one.ys]
    y_axis = options.y_axis(metric.kind, values, previous)
    splits = [_split(run, metric) for run in curves]
    title = _overlay_title(metric, series, names, splits, at=options.cursor, width=width)
    if note := clipped_note(metric.kind, values, y_axis):
        title.append((f"  {note}", MUTED))
    return Drawing(series, x_axis, y_axis, marks, title)


def overlay_x_axis(curves: Sequence[Curves], options: PlotOptions) -> Axis:
    """The x axis that all runs share."""
    end = max((run.x_axis(PlotOptions()).high for run in curves), default=1.0)
    return options.x_axis(end, min((run.first_x for run in curves if run.first_x), default=0.0))


def _overlay_title(
    metric: Metric,
    series: Sequence[Series],
    names: Sequence[str],
    splits: Sequence[str],
    *,
    at: float | None,
    width: int,
) -> list[tuple[str, str]]:
    """`val loss  1─lr.1 .187  2─lr.01 .201`; the names are shortened to fit, and left out where that is not enough."""
    shared = splits[0] if len(set(splits)) == 1 else None
    head = metric.label if shared is None else f"{split_label(shared)} {metric.label}".lstrip()
    head += "" if at is None else f" @{at:.4g}"
    parts = []
    for number, (one, split) in enumerate(zip(series, splits, strict=True)):
        value = format_compact(value_at(one.xs, one.ys, at))
        label = "" if shared is not None or not split else f"{split_label(split)} "
        parts.append((f"  {number + 1}─", f" {label}{value}" if one.ys else " no values"))
    taken = cell_width(head) + sum(cell_width(start + end) for start, end in parts)
    name_width = min(MAX_NAME_WIDTH, (width - taken) // max(1, len(parts)))
    shown = (
        shorten_distinct([sanitize(name) for name in names], name_width)
        if name_width >= MIN_NAME_WIDTH
        else None
    )
    legend = [
        (f"{start}{shown[number]}{end}" if shown else f"{start[:-1]}{end}", STYLES[number % len(STYLES)])
        for number, (start, end) in enumerate(parts)
    ]
    return [(head, "bold"), *legend]


def _split(run: Curves, metric: Metric) -> str:
    """The split whose values `_curve` draws; empty for metrics that only training has."""
    if run.is_script or metric in (LR, THROUGHPUT):
        return ""
    return run.split if len(run.held_out(metric)) else "train"


def _curve(run: Curves, metric: Metric) -> Curve:
    held_out = run.held_out(metric)
    return held_out if len(held_out) else run.train(metric)


class CompareScreen(Dialog[None]):
    """The curves of several runs in one plot, and a table of their results; `m` cycles through the metrics."""

    DEFAULT_CSS = """
    CompareScreen { align: center middle; }
    CompareScreen > Vertical {
        width: 100%; height: 1fr; margin-top: 1; border: round $accent; background: $background; padding: 0 1;
    }
    CompareScreen Plot { height: 1fr; }
    CompareScreen Table { max-height: 50%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,equals_sign", "dismiss", "back"),
        Binding("m", "metric", "metric"),
        Binding("a", "smooth", "smoothing"),
        Binding("v", "log", "log axes"),
        Binding("c", "classes", "class by class"),
        Binding("f", "follow", "follow", show=False),
        Binding("comma,left", "step(-1)", "cursor left", key_display=",", show=False),
        Binding("full_stop,right", "step(1)", "cursor right", key_display=".", show=False),
        Binding("less_than_sign", "zoom(2)", "zoom out", key_display="<", show=False),
        Binding("greater_than_sign", "zoom(0.5)", "zoom in", key_display=">", show=False),
    ]

    def __init__(self, comparison: RunComparison) -> None:
        super().__init__()
        self._comparison = comparison
        self._curves = [Curves() for _ in comparison.views]
        for curves, view in zip(self._curves, comparison.views, strict=True):
            curves.update(view)
        shared = self._shared_metrics()
        self.metric = LOSS if LOSS in shared or not shared else shared[0]
        self.options = PlotOptions()
        self.class_metric: ClassMetric | None = None
        """What the table shows of each class; `None`: results and settings."""
        self.lacks_classes = False
        """Whether the title says that there is nothing to compare class by class; this screen covers notifications."""
        self._axes: dict[tuple[str, str], Axis] = {}
        """Y axes by metric and scale, without a zoom."""

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_subtitle = (
                "m metric  a smooth  v log  < > zoom  , . step  c classes  ⏎ values  esc back"
            )
            yield Plot()
            yield Table()

    def on_mount(self) -> None:
        self._show_table()
        self.query_one(Table).focus()
        self.call_after_refresh(self._draw)

    def _show_table(self) -> None:
        runs, classes, table = self._comparison.runs, self._comparison.classes, self.query_one(Table)
        if self.class_metric is None:
            columns, rows = table_columns(runs), table_rows(runs)
        else:
            columns, rows = class_columns(classes, runs), class_rows(classes, self.class_metric)
        table.user_moved = False
        table.show(columns, rows)
        table.move_to(0)
        table.styles.height = len(rows) + 1

    def action_classes(self) -> None:
        """Show accuracy, F1 or precision of each class, and the differences to the first run; or the settings again."""
        if self._comparison.classes.split:
            shown = [None, *CLASS_METRICS]
            self.class_metric = shown[(shown.index(self.class_metric) + 1) % len(shown)]
            self._show_table()
        else:
            self.lacks_classes = not self.lacks_classes
        self._draw()

    @on(Plot.Resized)
    def _plot_resized(self) -> None:
        self._draw()

    @on(Table.RowSelected)
    def _row_selected(self, event: Table.RowSelected) -> None:
        """Show the values of all runs in full: the table cuts long ones, and leaves out runs without room."""
        event.stop()
        runs = self._comparison.runs
        lines = [
            Content(f"{number} {sanitize(name)}  {sanitize(value)}")
            for number, (name, value) in enumerate(
                zip(display_names(runs), self._values(event.key), strict=True), 1
            )
        ]
        self.app.push_screen(TextScreen(event.key, lines))

    def _values(self, key: str) -> list[str]:
        """The values of all runs in a row of the table."""
        if self.class_metric is None:
            return [format_setting(run.row.get(key)) for run in self._comparison.runs]
        compared = self._comparison.classes.classes(self.class_metric)
        return [value.text for one in compared if one.name == key for value in one.values]

    def action_metric(self) -> None:
        """Plot the next metric that all runs have."""
        metrics = self._shared_metrics() or [self.metric]
        index = metrics.index(self.metric) if self.metric in metrics else -1
        self.metric = metrics[(index + 1) % len(metrics)]
        self._draw()

    def _shared_metrics(self) -> list[Metric]:
        """The metrics that all runs have."""
        first, *others = self._curves
        return [metric for metric in first.metrics if all(metric in run.metrics for run in others)]

    def action_smooth(self) -> None:
        """Cycle the smoothing of the curves: off, 0.6, 0.9."""
        self._draw_with(self.options.next_smoothing())

    def action_log(self) -> None:
        """Cycle logarithmic axes: none, y, both."""
        self._draw_with(self.options.next_log())

    def action_follow(self) -> None:
        """Remove the cursor."""
        self._draw_with(self.options.following(self._last_x))

    def action_step(self, by: int) -> None:
        """Move the cursor by `by` cells; past the last value it is removed."""
        axis, columns = overlay_x_axis(self._curves, self.options), self.query_one(Plot).columns
        first = min(run.first_x for run in self._curves)
        self._draw_with(self.options.stepped(by, axis, columns, first, self._last_x))

    def action_zoom(self, factor: float) -> None:
        """Halve or double the visible range of epochs, around the cursor, else up to the last values."""
        end = overlay_x_axis(self._curves, PlotOptions()).high
        self._draw_with(self.options.zoomed(factor, end, self._last_x))

    @property
    def _table_title(self) -> list[str]:
        if self.class_metric is not None:
            split = split_label(self._comparison.classes.split)
            return [f"{split} {METRIC_TITLES[self.class_metric]} of each class, difference to 1"]
        if self.lacks_classes:
            return [NO_CLASSES]
        return [] if self.query_one(Table).rows else ["all results and settings are the same"]

    @property
    def _last_x(self) -> float:
        return max(run.last_x for run in self._curves)

    def _draw_with(self, options: PlotOptions) -> None:
        self.options = options
        self._draw()

    def _draw(self) -> None:
        plot, names = self.query_one(Plot), display_names(self._comparison.runs)
        size, key = (plot.columns, plot.size.width), (self.metric.key, self.options.y_scale(self.metric.kind))
        previous = self._axes.get(key)
        drawing = overlay_curves(self._curves, names, self.metric, self.options, size=size, previous=previous)
        if self.options.window is None:
            self._axes[key] = drawing.y_axis
        plot.draw(drawing.series, drawing.x_axis, drawing.y_axis, drawing.marks, drawing.title)
        units = " and ".join(dict.fromkeys(run.unit for run in self._curves))
        title = [f"compare {len(self._curves)} runs", units, *self.options.labels, *self._table_title]
        self.query_one(Vertical).border_title = "──".join(title)
