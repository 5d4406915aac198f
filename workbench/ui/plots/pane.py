"""The plots pane: loss and accuracy of the selected run as they come, and how it is getting on."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.reactive import reactive

from workbench.core import text
from workbench.core.text import safe, short
from workbench.runs.enums import Phase
from workbench.runs.metrics import EvaluationFile
from workbench.runs.reader import RunView
from workbench.runs.run_report import elapsed, eta, inexact, throughput
from workbench.ui.base.pane import Pane
from workbench.ui.plots.curves import ACCURACY, LOSS, R2, Curves, Look, Metric
from workbench.ui.plots.decision_plot import POINTS, drawable, drawn
from workbench.ui.plots.insights import insights
from workbench.ui.widgets.plot import Drawing, Plot
from workbench.ui.widgets.text_line import Line

SMOOTHING = (0.0, 0.6, 0.9)
BESIDE, BESIDE_ON_WIDE = 90, 70
"""Cells from which two plots stand beside each other; on a screen of 100 or more, fewer do."""
STACKED = 22
"""Rows from which two plots stand one above the other."""
NOTHING_YET = "no run selected: curves come here"


class PlotsPane(Pane):
    """Curves over epochs. Two plots where there is room, else one; `m` goes through the metrics."""

    NUMBER = "3"
    NAME = "Plots"
    SHORT = "Plots"

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
        Binding("comma", "step(-1)", "back", key_display=",", show=False),
        Binding("full_stop", "step(1)", "on", key_display=".", show=False),
        Binding("less_than_sign", "zoom(2)", "zoom out", key_display="<", show=False),
        Binding("greater_than_sign", "zoom(0.5)", "zoom in", key_display=">", show=False),
        Binding("g,home", "first", "first", show=False),
        Binding("G,end", "follow", "last", show=False),
        Binding("left", "step(-1)", "back", show=False),
        Binding("right", "step(1)", "on", show=False),
    ]

    evaluation: reactive[EvaluationFile | None] = reactive(None, repaint=False)
    """The newest evaluation file of the run, for the line of insights."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.curves = Curves()
        self.look = Look()
        self._metric: dict[bool, Metric] = {}

    def compose(self) -> ComposeResult:
        """Two plots and two lines."""
        with Container(id="charts", classes="single"):
            first = Plot(id="first")
            first.can_focus = True
            yield first
            yield Plot(id="second")
        yield Line(id="facts")
        yield Line(id="insights")

    def on_resize(self) -> None:
        """One plot or two, beside or above each other."""
        charts = self.query_one("#charts")
        for name in ("beside", "stacked", "single"):
            charts.set_class(name == self._arrangement(), name)
        self.call_after_refresh(self._redraw)

    def _arrangement(self) -> str:
        width, height = self.size
        if width >= BESIDE or (width >= BESIDE_ON_WIDE and self.app.size.width >= 100):
            return "beside"
        return "stacked" if height >= STACKED else "single"

    def watch_view(self, view: RunView | None) -> None:
        """Draw what is new."""
        if view is None:
            self.curves = Curves()
        else:
            if self.curves.view is None or self.curves.view.folder != view.folder:
                self.look = replace(self.look, window=None, cursor=None)
            self.curves.follow(view)
            self._keep_up()
        self._redraw()

    def watch_evaluation(self) -> None:
        """Its confusions may be worth a word."""
        self._redraw()

    def _keep_up(self) -> None:
        """While following, a zoomed window moves on in quarters of itself, so that columns stay where they are."""
        if self.look.window is None or self.look.cursor is not None:
            return
        low, high = self.look.window
        if self.curves.reached > high:
            step = (high - low) / 4
            steps = -(-(self.curves.reached - high) // step)
            self.look = replace(self.look, window=(low + steps * step, high + steps * step))

    def _redraw(self) -> None:
        if not self.is_mounted or not self.query("#second"):
            return
        first, second = self.shown_metrics()
        for plot, metric in (
            (self.query_one("#first", Plot), first),
            (self.query_one("#second", Plot), second),
        ):
            if plot.size.width > 0 and metric is not None:
                self._draw(plot, metric)
        width = self.size.width
        view = self.curves.view
        self.query_one("#facts", Line).show(facts(view, width, time.time()))
        warned = insights(view, self.evaluation)
        line = self.query_one("#insights", Line)
        line.show(_warnings(warned, width))
        if line.display != bool(warned):
            line.display = bool(warned)
        self.headline = self._headline()

    def _draw(self, plot: Plot, metric: Metric) -> None:
        words = nothing_to_draw(self.curves.view)
        if words:
            plot.say(words if plot.id == "first" else "")
            return
        drawing = self._points(plot) if metric is POINTS else None
        if drawing is None:
            drawing = self.curves.drawing(metric, plot.columns, self.look, plot.size.width)
        if any(len(series.xs) for series in drawing.series):
            plot.draw(drawing.series, drawing.x_axis, drawing.y_axis, drawing.marks, drawing.title)
        else:
            plot.say(f"{metric.label}: no figure yet")

    def _points(self, plot: Plot) -> Drawing | None:
        """What was learned of points; with the cursor in the first epoch, as it was before."""
        view, cursor, evaluation = self.curves.view, self.look.cursor, self.evaluation
        if evaluation is None or evaluation.draw is None:
            return None
        classes = view.setup.classes if view and view.setup else ()
        size = (plot.columns, max(1, plot.size.height - 2))
        before = cursor is not None and cursor < 1
        return drawn(evaluation.draw, evaluation.weights_of_epoch, classes, size, before=before)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What `m` goes through."""
        return (*self.curves.metrics, *([POINTS] if drawable(self.evaluation) else []))

    def shown_metrics(self) -> tuple[Metric, Metric | None]:
        """What the first and the second plot show; with two, the loss stays and `m` changes the second."""
        single = self._arrangement() == "single"
        other = R2 if R2 in self.curves.metrics else ACCURACY
        other = POINTS if POINTS in self.metrics else other
        chosen = self._metric.get(single, LOSS if single else other)
        if chosen not in self.metrics:
            chosen = LOSS if single else other
        return (chosen, None) if single else (LOSS, chosen)

    def _headline(self) -> str:
        look = self.look
        parts = [safe(self.curves.view.name) if self.curves.view else "", self.curves.unit]
        parts.append(f"smooth {short(look.smoothing)}" if look.smoothing else "")
        parts.append("spread" if look.band else "")
        parts.append({"off": "", "y": "log y", "xy": "log x y"}[look.log])
        parts.append("" if look.window is None else "zoomed")
        return "──".join(part for part in parts if part)

    def action_smooth(self) -> None:
        """No smoothing, .6, .9."""
        now = SMOOTHING.index(self.look.smoothing)
        self._look(smoothing=SMOOTHING[(now + 1) % len(SMOOTHING)])

    def action_band(self) -> None:
        """Show between what the values behind each mean lie, or not."""
        self._look(band=not self.look.band)

    def action_log(self) -> None:
        """Logarithmic axes: none, y, both."""
        following = {"off": "y", "y": "xy", "xy": "off"}
        self._look(log=following[self.look.log])

    def action_metric(self) -> None:
        """The next metric."""
        single = self._arrangement() == "single"
        metrics = [m for m in self.metrics if single or m is not LOSS]
        shown = self.shown_metrics()[0 if single else 1]
        place = metrics.index(shown) if shown in metrics else -1
        self._metric[single] = metrics[(place + 1) % len(metrics)]
        self._redraw()

    def action_follow(self) -> None:
        """Back to the newest values: no cursor, and where the window was zoomed it moves to the end."""
        self._look(cursor=None)
        if self.look.window is not None:
            self._keep_up()
            self._redraw()

    def action_first(self) -> None:
        """The cursor to the first value."""
        self._move(self._first())

    def action_step(self, by: int) -> None:
        """The cursor one cell back or on; past the newest value it goes away and the plot follows again."""
        axis = self.curves.x_axis(self.look)
        cell = 1 / self.query_one("#first", Plot).columns
        start = self.curves.reached if self.look.cursor is None else self.look.cursor
        if self.look.cursor is None and by > 0:
            return
        wanted = axis.at(axis.place(start) + by * cell)
        if wanted > self.curves.reached:
            self.action_follow()
        else:
            self._move(max(wanted, self._first()))

    def _first(self) -> float:
        curve = self.curves.train(LOSS)
        return curve.xs[0] if len(curve) else 0.0

    def _move(self, to: float) -> None:
        """Put the cursor there, and the window around it."""
        window = self.look.window
        if window is not None and not window[0] <= to <= window[1]:
            width = window[1] - window[0]
            low = max(0.0, to - width / 2)
            window = (low, low + width)
        self._look(cursor=to, window=window)

    def action_zoom(self, factor: float) -> None:
        """Half or double the epochs that are shown, around the cursor, else up to the newest values."""
        axis = self.curves.x_axis(replace(self.look, log="off"))
        whole = self.curves.x_axis(Look())
        width = (axis.high - axis.low) * factor
        if width >= whole.high:
            self._look(window=None)
            return
        if width < whole.high / 4096:
            return
        at = self.look.cursor
        low = self.curves.reached - width if at is None else at - width * axis.place(at)
        low = min(max(0.0, low), whole.high - width)
        self._look(window=(low, low + width))

    def _look(self, **changes: Any) -> None:
        self.look = replace(self.look, **changes)
        self._redraw()


def nothing_to_draw(view: RunView | None) -> str:
    """Why a run has no curves, in a few words; empty where it has some."""
    if view is None:
        return NOTHING_YET
    if not view.version:
        return "loading…"
    if view.curve.step or view.evaluations:
        return ""
    if not view.status.live:
        return "no step was made"
    phase = view.heartbeat.phase
    return "no step yet" if phase is Phase.TRAINING else f"no step yet: {phase or view.status}"


def facts(view: RunView | None, width: int, now: float) -> Content:
    """How the run is getting on, in one line: what does not fit is left out from the right."""
    if view is None:
        return Content("")
    parts: list[str] = []
    for part in filter(None, _facts(view, now)):
        if len(" · ".join([*parts, part])) > width:
            break
        parts.append(part)
    return Content.styled(" · ".join(parts), "$foreground-muted")


def _facts(view: RunView, now: float) -> list[str]:
    beat, setup, rate, live = view.heartbeat, view.setup, throughput(view), view.status.live
    lr, spent, left = view.curve.column("lr"), elapsed(view).total, eta(beat)
    data = setup.execution.get("data") if setup else None
    return [
        f"{text.count(rate)} samples/s" if rate else "",
        f"step {beat.step}" if beat.attempt else "",  # there is a heartbeat
        f"lr {text.learning_rate(lr[-1])}" if lr else "",
        _saved(beat.saved, now) if live else "",
        _resumes(view),
        f"elapsed {text.duration(spent)}" if spent else "",
        f"ETA {text.duration(left)}" if live and left is not None else "",
        safe(beat.device or (setup.device if setup else ""), 24),
        f"data {safe(data, 80)}" if data else "",
    ]


def _saved(when: float | None, now: float) -> str:
    """`saved 40s ago`, in steps of ten seconds: a figure that moves at every look says no more."""
    if when is None or now < when:
        return ""
    age = now - when
    return f"saved {text.duration(age - age % (10 if age < 60 else 60))} ago"


def _resumes(view: RunView) -> str:
    resumes = (view.attempts[-1].attempt if view.attempts else 0) - 1
    exact = "not exact" if inexact(view) else "exact"
    if resumes < 1:
        return "not exact" if inexact(view) else ""
    return f"{resumes} resume{'s' if resumes > 1 else ''}, {exact}"


def _warnings(texts: list[str], width: int) -> Content:
    """As many as fit, whole; the first one cut where it must be."""
    shown = ""
    for warning in texts:
        longer = f"{shown}   ⚠ {warning}" if shown else f"⚠ {text.cut(warning, width - 2)}"
        if text.cell_width(longer) <= width:
            shown = longer
    return Content.styled(shown, "$text-warning")
