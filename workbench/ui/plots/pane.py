"""The plots pane: live curves of the selected run, its progress and warnings about it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content

from workbench.core import text
from workbench.core.text import plural, sanitize
from workbench.runs.enums import Phase
from workbench.runs.eta import eta
from workbench.runs.reader import RunView
from workbench.runs.run_report import elapsed_seconds, inexact_reasons, throughput
from workbench.ui.base.layout import PaneId, switch_classes
from workbench.ui.base.pane import Pane, PaneServices
from workbench.ui.plots.curves import ACCURACY, R2, Curves, Metric
from workbench.ui.plots.decision_plot import POINTS, decision_drawing, has_drawing
from workbench.ui.plots.insights import insights
from workbench.ui.plots.plot_options import PlotOptions
from workbench.ui.widgets.plot import Drawing, Plot
from workbench.ui.widgets.text_line import TextLine

SIDE_BY_SIDE_WIDTH, SIDE_BY_SIDE_WIDTH_ON_WIDE_SCREEN = 90, 70
"""Pane width in cells from which two plots are side by side; less is enough on a screen of 100 or more."""
STACKED_HEIGHT = 22
"""Pane height in rows from which two plots are stacked."""
NO_RUN = "No run selected."


class PlotsPane(Pane):
    """Curves over epochs: two plots if they fit, else one; `m` cycles through the metrics."""

    ID = PaneId.PLOTS

    DEFAULT_CSS = """
    PlotsPane #charts { height: 1fr; layout: horizontal; padding-right: 1; }
    PlotsPane #charts.stacked { layout: vertical; }
    PlotsPane #charts.single #second { display: none; }
    PlotsPane #charts.beside #second { margin-left: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "smooth", "smoothing"),
        Binding("b", "band", "spread"),
        Binding("f", "follow", "follow"),
        Binding("m", "metric", "metric"),
        Binding("v", "log", "log axes"),
        Binding("comma", "step(-1)", "cursor left", key_display=",", show=False),
        Binding("full_stop", "step(1)", "cursor right", key_display=".", show=False),
        Binding("less_than_sign", "zoom(2)", "zoom out", key_display="<", show=False),
        Binding("greater_than_sign", "zoom(0.5)", "zoom in", key_display=">", show=False),
        Binding("g,home", "first", "first value", show=False),
        Binding("G,end", "follow", "last value", show=False),
        Binding("left", "step(-1)", "cursor left", show=False),
        Binding("right", "step(1)", "cursor right", show=False),
    ]

    def __init__(
        self, services: PaneServices | None = None, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(services, id=id, classes=classes)
        self.curves = Curves()
        self.options = PlotOptions()
        self._metric: dict[bool, Metric] = {}

    def compose(self) -> ComposeResult:
        with Container(id="charts", classes="single"):
            first = Plot(id="first")
            first.can_focus = True
            yield first
            yield Plot(id="second")
        yield TextLine(id="facts")
        yield TextLine(id="insights")

    def on_resize(self) -> None:
        switch_classes(self.query_one("#charts"), ("beside", "stacked", "single"), {self._arrangement()})
        self.call_after_refresh(self._redraw)

    def _arrangement(self) -> str:
        width, height = self.size
        if width >= SIDE_BY_SIDE_WIDTH or (
            width >= SIDE_BY_SIDE_WIDTH_ON_WIDE_SCREEN and self.app.size.width >= 100
        ):
            return "beside"
        return "stacked" if height >= STACKED_HEIGHT else "single"

    @on(Plot.Resized)
    def _plot_resized(self, event: Plot.Resized) -> None:
        """The second plot gets its size after the pane."""
        event.stop()
        self._redraw()

    def watch_view(self, view: RunView | None) -> None:
        if view is None:
            self.curves = Curves()
        else:
            if self.curves.view is None or self.curves.view.folder != view.folder:
                self.options = replace(self.options, window=None, cursor=None)
            self.curves.update(view)
            self.options = self.options.advanced(self.curves.last_x)
        self._redraw()

    def watch_evaluations(self) -> None:
        self._redraw()

    def _redraw(self) -> None:
        if not self.is_mounted or not self.query("#second"):
            return
        first, second = self.visible_metrics()
        for plot, metric in (
            (self.query_one("#first", Plot), first),
            (self.query_one("#second", Plot), second),
        ):
            if plot.size.width > 0 and metric is not None:
                self._draw(plot, metric)
        width = self.size.width
        view = self.curves.view
        self.query_one("#facts", TextLine).show(facts(view, width, time.time()))
        warnings = insights(view, self.evaluation)
        line = self.query_one("#insights", TextLine)
        line.show(_warning_text(warnings, width))
        if line.display != bool(warnings):
            line.display = bool(warnings)
        self.headline = self._headline()

    def _draw(self, plot: Plot, metric: Metric) -> None:
        message = empty_plot_text(self.curves.view)
        if message:
            plot.show_message(message if plot.id == "first" else "")
            return
        drawing = self._decision_drawing(plot) if metric is POINTS else None
        if drawing is None:
            drawing = self.curves.drawing(metric, plot.columns, self.options, plot.size.width)
        if any(len(series.xs) for series in drawing.series):
            plot.draw(drawing.series, drawing.x_axis, drawing.y_axis, drawing.marks, drawing.title)
        else:
            plot.show_message(f"{metric.label}: no values yet")

    def _decision_drawing(self, plot: Plot) -> Drawing | None:
        """The decision plot of the newest evaluation; before training if the cursor is in the first epoch."""
        view, cursor, evaluation = self.curves.view, self.options.cursor, self.evaluation
        if evaluation is None or evaluation.draw is None:
            return None
        classes = view.setup.classes if view and view.setup else ()
        size = (plot.columns, max(1, plot.size.height - 2))
        before = cursor is not None and cursor < 1
        return decision_drawing(evaluation.draw, evaluation.weights_of_epoch, classes, size, before=before)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that `m` cycles through."""
        return (*self.curves.metrics, *([POINTS] if has_drawing(self.evaluation) else []))

    def visible_metrics(self) -> tuple[Metric, Metric | None]:
        """The metrics of the two plots; with two plots the first is the loss, and `m` changes the second."""
        single = self._arrangement() == "single"
        default = self.curves.metrics[0] if single else self._second_default()
        metric = self._metric.get(single, default)
        if metric not in self.metrics:
            metric = default
        return (metric, None) if single else (self.curves.metrics[0], metric)

    def _second_default(self) -> Metric:
        if self.curves.is_script:
            return self.curves.metrics[min(1, len(self.curves.metrics) - 1)]
        if has_drawing(self.evaluation):
            return POINTS
        return R2 if R2 in self.curves.metrics else ACCURACY

    def _headline(self) -> str:
        name = sanitize(self.curves.view.name) if self.curves.view else ""
        return "──".join(part for part in (name, self.curves.unit, *self.options.labels) if part)

    def action_smooth(self) -> None:
        """Cycle the smoothing of training curves: off, 0.6, 0.9."""
        self._draw_with(self.options.next_smoothing())

    def action_band(self) -> None:
        """Show or hide the range of the values behind each plotted mean."""
        self._draw_with(replace(self.options, band=not self.options.band))

    def action_log(self) -> None:
        """Cycle logarithmic axes: none, y, both."""
        self._draw_with(self.options.next_log())

    def action_metric(self) -> None:
        """Plot the next metric."""
        single = self._arrangement() == "single"
        metrics = list(self.metrics if single else self.metrics[1:] or self.metrics)
        current = self.visible_metrics()[0 if single else 1]
        index = metrics.index(current) if current in metrics else -1
        self._metric[single] = metrics[(index + 1) % len(metrics)]
        self._redraw()

    def action_follow(self) -> None:
        """Remove the cursor and follow the newest values."""
        self._draw_with(self.options.following(self.curves.last_x))

    def action_first(self) -> None:
        """Move the cursor to the first value."""
        self._draw_with(self.options.with_cursor(self._first_x()))

    def action_step(self, by: int) -> None:
        """Move the cursor by `by` cells; past the newest value it is removed and the plot follows again."""
        axis, columns = self.curves.x_axis(self.options), self.query_one("#first", Plot).columns
        self._draw_with(self.options.stepped(by, axis, columns, self._first_x(), self.curves.last_x))

    def _first_x(self) -> float:
        curve = self.curves.train(self.curves.metrics[0])
        return curve.xs[0] if len(curve) else 0.0

    def action_zoom(self, factor: float) -> None:
        """Halve or double the visible range of epochs, around the cursor, else up to the newest values."""
        end = self.curves.x_axis(PlotOptions()).high
        self._draw_with(self.options.zoomed(factor, end, self.curves.last_x))

    def _draw_with(self, options: PlotOptions) -> None:
        self.options = options
        self._redraw()


def empty_plot_text(view: RunView | None) -> str:
    """Why a run has no curves; empty if it has some."""
    if view is None:
        return NO_RUN
    if not view.version:
        return "Loading…"
    if view.curve.step or view.evaluations or view.logged:
        return ""
    if view.external is not None:
        return view.unknown_reason or "No metrics: the log has none so far."
    if view.script is not None:
        return "No metrics: the script logs none." if not view.status.live else "No metrics yet."
    if view.waiting is not None:
        return "No step yet (queued)."
    if not view.status.live:
        return "No steps recorded."
    phase = view.heartbeat.phase
    detail = "" if phase is Phase.TRAINING else f" ({phase or view.status})"
    return f"No step yet{detail}."


def facts(view: RunView | None, width: int, now: float) -> Content:
    """The progress of the run in one line of `width` cells; what does not fit is left out from the right."""
    if view is None:
        return Content("")
    parts: list[str] = []
    for part in filter(None, _facts(view, now)):
        if len(" · ".join([*parts, part])) > width:
            break
        parts.append(part)
    return Content.styled(" · ".join(parts), "$foreground-muted")


def _facts(view: RunView, now: float) -> list[str]:
    heartbeat, setup, rate, live = view.heartbeat, view.setup, throughput(view), view.status.live
    lr, elapsed, remaining = view.curve.column("lr"), elapsed_seconds(view).total, eta(heartbeat)
    data = setup.execution.get("data") if setup else None
    return [
        f"{text.format_count(rate)} samples/s" if rate else "",
        f"step {max(heartbeat.step, view.logged_step)}"
        if heartbeat.attempt
        else "",  # if there is a heartbeat
        f"lr {text.format_learning_rate(lr[-1])}" if lr else "",
        _saved(heartbeat.checkpoint_saved_at, now) if live else "",
        _resumes(view),
        f"elapsed {text.format_duration(elapsed)}" if elapsed else "",
        f"ETA {text.format_duration(remaining)}" if live and remaining is not None else "",
        _device(view),
        f"data {sanitize(data, 80)}" if data else "",
    ]


def _device(view: RunView) -> str:
    """`cpu`, or `cuda:0,1, 2 processes`."""
    setup = view.setup
    device = sanitize(view.heartbeat.device or (setup.device if setup else ""), 24)
    return f"{device}, {setup.processes} processes" if setup and setup.processes > 1 else device


def _saved(saved: float | None, now: float) -> str:
    """`saved 40s ago`, rounded down to 10 s (to minutes from 1 min on) so that the line rarely changes."""
    if saved is None or now < saved:
        return ""
    age = now - saved
    return f"saved {text.format_duration(age - age % (10 if age < 60 else 60))} ago"


def _resumes(view: RunView) -> str:
    resumes = (view.attempts[-1].attempt if view.attempts else 0) - 1
    exact = "not exact" if inexact_reasons(view) else "exact"
    if resumes < 1:
        return "not exact" if inexact_reasons(view) else ""
    return f"{plural(resumes, 'resume')}, {exact}"


def _warning_text(warnings: list[str], width: int) -> Content:
    """As many warnings as fit; only the first one may be truncated."""
    line = ""
    for warning in warnings:
        longer = f"{line}   ⚠ {warning}" if line else f"⚠ {text.truncate(warning, width - 2)}"
        if text.cell_width(longer) <= width:
            line = longer
    return Content.styled(line, "$text-warning")
