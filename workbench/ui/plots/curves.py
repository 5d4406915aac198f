"""From a run's record to what its plots draw: curves over epochs, axes, marks and the figures in the title."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from workbench.config.experiment import Experiment
from workbench.core.settings_schema import SettingValue
from workbench.core.text import short
from workbench.runs.attempts import start_steps
from workbench.runs.enums import ChangeCause, Phase
from workbench.runs.journal import Attempt, JournalLine, PhaseChange, SettingChange
from workbench.runs.reader import RunView
from workbench.runs.run_report import effective_experiment
from workbench.ui.base.status_style import MUTED
from workbench.ui.plots.evaluation_curves import Measured
from workbench.ui.widgets.axes import Axis, Curve, Points, Scale, doubling_end, fitted, share_axis, smooth
from workbench.ui.widgets.plot import Drawing, Mark, Series

TRAIN, HELD_OUT, BEST, CURSOR = "$primary", "$warning", "$success", "$text-accent"
MARKED = "$text-secondary"
PER_CELL = 2
"""Points a cell: braille has two columns of dots."""


@dataclass(frozen=True)
class Metric:
    """A figure that can be plotted: its key in the record, its name on the screen, how its axis behaves."""

    key: str
    label: str
    kind: Literal["amount", "share", "free"]
    train: bool = True
    """Whether training rows have it."""


LOSS = Metric("loss", "loss", "amount")
ACCURACY = Metric("accuracy", "accuracy", "share")
R2 = Metric("r2", "R²", "free", train=False)
LR = Metric("lr", "learning rate", "amount")
THROUGHPUT = Metric("samples_per_second", "samples/s", "amount")
CLASSIFICATION = (
    LOSS,
    ACCURACY,
    Metric("balanced_accuracy", "balanced accuracy", "share", train=False),
    Metric("macro_f1", "macro-F1", "share", train=False),
    LR,
    THROUGHPUT,
)
REGRESSION = (LOSS, R2, Metric("mae", "mean absolute error", "amount", train=False), LR, THROUGHPUT)


@dataclass(frozen=True)
class Look:
    """How a person wants the curves: pane keys change it."""

    smoothing: float = 0.0
    band: bool = False
    log: Literal["off", "y", "xy"] = "off"
    window: tuple[float, float] | None = None
    """Epochs that are shown; `None` is all of them."""
    cursor: float | None = None
    """The epoch whose values are shown; `None` is the newest."""


@dataclass
class Curves:
    """The curves of one run, taking in only what is new of its view."""

    view: RunView | None = None
    unit: str = "epochs"
    reached: float = 0.0
    planned: float | None = None
    marks: list[Mark] = field(default_factory=list)
    experiment: Experiment | None = None
    """With what resumes and people changed."""
    _train: dict[str, Curve] = field(default_factory=dict)
    _measured: Measured = field(default_factory=Measured)
    _axes: dict[tuple[str, Scale], Axis] = field(default_factory=dict)

    def follow(self, view: RunView) -> None:
        """Take in what is new."""
        if self.view is None or view.folder != self.view.folder:
            self._train, self._axes, self._measured = {}, {}, Measured()
        self.view = view
        self.experiment = effective_experiment(view)
        per_epoch = view.setup.steps_per_epoch if view.setup else 0
        epochs = view.curve.column("epoch")
        if epochs and not epochs[-1] > 0:  # a record that does not place its rows by epochs
            epochs = array("d")
        self.unit = "epochs" if per_epoch or epochs else "steps"
        self._per_epoch = float(per_epoch or 1)
        self._xs = epochs or array("d", (step / self._per_epoch for step in view.curve.step))
        self.planned = _planned(view, self.experiment) if self.unit == "epochs" else None
        self._measured = self._measured.followed(view, self._per_epoch if self.unit == "epochs" else None)
        self.reached = max(self._xs[-1] if self._xs else 0.0, self._measured.reached)
        self.marks = self._events()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What can be plotted of this run."""
        return REGRESSION if self._regression else CLASSIFICATION

    @property
    def _regression(self) -> bool:
        view = self.view
        if view is None:
            return False
        if view.setup is not None:
            return view.setup.task == "regression"
        return any(row.r2 is not None for row in view.evaluations)

    @property
    def split(self) -> str:
        """The split that is drawn beside training: validation where there is any, else test."""
        return self._measured.split

    def train(self, metric: Metric) -> Curve:
        """The curve of the training rows."""
        curve = self._train.setdefault(metric.key, Curve())
        if self.view is not None and metric.train:
            values = self.view.curve.column(metric.key)
            curve.follow(self._xs, values, source=self.view.curve)
        return curve

    def held_out(self, metric: Metric) -> Curve:
        """The figures of the split that is drawn, an evaluation each."""
        return self._measured.curve(metric.key)

    def x_axis(self, look: Look) -> Axis:
        """Doubles with the run; or what a person zoomed to."""
        scale: Scale = "log" if look.log == "xy" else "linear"
        low, high = look.window or (0.0, doubling_end(self.reached, self.planned))
        if scale == "log":
            low = max(low, min(self._xs[0] if self._xs else 1.0, high / 10), high / 1e5)
        return Axis(low, high, scale)

    def drawing(self, metric: Metric, columns: int, look: Look, width: int = 1000) -> Drawing:
        """What a plot of `metric` with `columns` cells across shows; the title in `width` cells."""
        x_axis = self.x_axis(look)
        points = self.train(metric).reduce(x_axis, columns * PER_CELL, spread=look.band)
        means = smooth(points.ys, look.smoothing)
        others = self.held_out(metric).reduce(x_axis, columns * PER_CELL)
        y_axis = self._y_axis(metric, [*means, *others.ys], look)
        series = []
        if look.band:
            series.append(Series("spread", points.xs, points.lows, MUTED, "band", "░", points.highs))
        series.append(Series("train", points.xs, means, TRAIN, "line"))
        series.append(_joined(self.split, others))
        marks = [*self.marks, *self._levels(metric), *self._points(metric)]
        if look.cursor is not None:
            marks.insert(0, Mark(x=look.cursor, glyph="│", style=CURSOR))
        train = _value_of(self.train(metric), look.cursor)
        if look.smoothing:
            train = _value(list(zip(points.xs, means, strict=True)), look.cursor)
        title = self._title(metric, train, look, width)
        return Drawing(series, x_axis, y_axis, marks, title)

    def _y_axis(self, metric: Metric, values: Sequence[float], look: Look) -> Axis:
        scale: Scale = "linear"
        if look.log != "off" and metric.kind != "free":
            scale = "nines" if metric.kind == "share" else "log"
        before = self._axes.get((metric.key, scale))
        if metric.kind == "share":
            axis = share_axis(values, before, scale)
        elif metric.kind == "free":
            axis = fitted([max(v, -1.0) for v in values], before)
        elif scale == "linear" and look.window is None:
            axis = fitted([0.0, *values], before)
        else:
            axis = fitted(values, before, scale)
        if look.window is None:
            self._axes[metric.key, scale] = axis
        return axis

    def _levels(self, metric: Metric) -> list[Mark]:
        """Lines across: chance, and the published figure."""
        found = []
        classes = len(self.view.setup.classes) if self.view and self.view.setup else 0
        if classes > 1 and metric.key in {"accuracy", "balanced_accuracy"}:
            found.append(Mark(y=1 / classes, glyph="┈", label="chance"))
        reference = self.experiment.reference if self.experiment else None
        if reference is not None and reference.metric.rpartition(".")[2] == metric.key:
            found.append(Mark(y=reference.published, glyph="╌", label="published", style=MARKED))
        return found

    def _points(self, metric: Metric) -> list[Mark]:
        """The best epoch, and the result on test data."""
        found = []
        best, final = self._measured.best, self._measured.final
        value = best.metric(metric.key) if best else None
        if best and value is not None and math.isfinite(value):
            found.append(Mark(self._measured.position(best), value, "▲", style=BEST))
        if final and final.split != self.split and (value := final.metric(metric.key)) is not None:
            found.append(Mark(self._measured.position(final), value, "◆", style=BEST))
        return found

    def _title(self, metric: Metric, train: float | None, look: Look, width: int) -> list[tuple[str, str]]:
        at, held_out = look.cursor, self.held_out(metric)
        title = [(metric.label, "bold")]
        if at is not None:
            title.append((f" @{at:.4g}", CURSOR))
        if train is not None:
            title += [(" ─train ", TRAIN), (short(train), "bold")]
        if (value := _value_of(held_out, at)) is not None:
            title += [
                (f" ╌{'val' if self.split == 'validation' else 'test'} ", HELD_OUT),
                (short(value), "bold"),
            ]
        if at is None:
            title += self._remarks(metric, len(held_out) > 0)
        while len(title) > 1 and sum(len(text) for text, _ in title) > width:
            title.pop()
        return title

    def _remarks(self, metric: Metric, held_out: bool) -> list[tuple[str, str]]:
        """What stands behind the figures where there is room."""
        found: list[tuple[str, str]] = []
        final = self._measured.final
        if final and final.split != self.split and (value := final.metric(metric.key)) is not None:
            found.append((f" ◆test {short(value)}", BEST))
        elif held_out and self.split == "test" and final is None:
            found.append((" (for display only)", MUTED))
        return found

    def _events(self) -> list[Mark]:
        """Columns where something was changed or paused, or the run was resumed."""
        view = self.view
        if view is None:
            return []
        starts = start_steps(view.journal)
        return [
            Mark(x=_step_of(line, starts) / self._per_epoch, label=label, style=MARKED)
            for line in _joined_changes(view.journal)
            if (label := _event_label(line))
        ]


def _joined_changes(journal: Sequence[JournalLine]) -> list[JournalLine]:
    """The journal with the changes of a setting at one step as one: they share a column."""
    found: dict[object, JournalLine] = {}
    for place, line in enumerate(journal):
        if isinstance(line, SettingChange):
            key = line.setting, line.step
            first = found.get(key, line)
            found[key] = msgspec.structs.replace(line, before=getattr(first, "before", None))
        else:
            found[place] = line
    return list(found.values())


def _step_of(line: JournalLine, starts: dict[int, int]) -> int:
    """The step at which an event happened; of an attempt, where it began."""
    match line:
        case SettingChange() | PhaseChange(step=int()):
            return line.step or 0
        case Attempt() | PhaseChange():
            return starts.get(line.attempt, 0)
    return 0


def _event_label(line: JournalLine) -> str:
    """What a journal line is called on the plot, empty for most."""
    match line:
        case SettingChange():
            label = change_label(line.setting.rpartition(".")[2], line.before, line.value)
            return f"back, {label}" if line.cause is ChangeCause.ROLLBACK else label
        case PhaseChange(phase=Phase.PAUSED):
            return "pause"
        case Attempt(attempt=number) if number > 1:
            return "resume"
    return ""


def change_label(key: str, before: SettingValue, after: SettingValue) -> str:
    """A change in a few cells: `lr÷2`, `lr .015`, `+5 ep`."""
    old, new = _number(before), _number(after)
    if new is None:
        return key[:8]
    if key == "epochs":
        return f"{new - old:+.0f} ep" if old is not None else f"{new:.0f} ep"
    if old and new > 0:
        up, ratio = new > old, max(new / old, old / new)
        if abs(ratio - round(ratio)) < 1e-6 and 1 < ratio < 100:
            return f"{key[:6]}{'×' if up else '÷'}{ratio:.0f}"
    return f"{key[:6]} {short(new)}"


def _number(value: SettingValue) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _planned(view: RunView, experiment: Experiment | None) -> float | None:
    return view.heartbeat.epochs_total or (experiment.train.epochs if experiment else None)


def _joined(name: str, points: Points) -> Series:
    """A dashed line; a single point is a dot that can be seen."""
    if len(points.xs) == 1:
        return Series(name, points.xs, points.ys, HELD_OUT, "points", "•")
    return Series(name, points.xs, points.ys, HELD_OUT, "dashed")


def _value(points: Sequence[tuple[float, float]], at: float | None) -> float | None:
    """The newest value, or the last one at or before an epoch, else the first."""
    before = [y for x, y in points if at is None or x <= at + 1e-9]
    return before[-1] if before else points[0][1] if points else None


def _value_of(curve: Curve, at: float | None) -> float | None:
    """The same of a curve."""
    found = curve.nearest(math.inf if at is None else at + 1e-9)
    return None if found is None or (at is not None and found[0] > at + 1e-9) else found[1]
