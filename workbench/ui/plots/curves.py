"""From a run's record to its plots: curves over epochs, axes, marks, and the values in the title."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from workbench.charts.axes import (
    Axis,
    Curve,
    ReducedCurve,
    Scale,
    doubling_end,
    smooth,
)
from workbench.config.experiment import Experiment
from workbench.core.settings_schema import SettingValue
from workbench.core.text import format_compact, sanitize
from workbench.runs.attempts import start_steps
from workbench.runs.enums import ChangeCause, Phase
from workbench.runs.journal import Attempt, JournalLine, PhaseChange, SettingChange
from workbench.runs.reader import RunView
from workbench.runs.run_report import effective_experiment
from workbench.runs.scores import split_label
from workbench.ui.base.status_style import MUTED
from workbench.ui.plots.evaluation_curves import EvaluationCurves
from workbench.ui.plots.plot_options import MetricKind, PlotOptions, clipped_note
from workbench.ui.widgets.plot import Drawing, Mark, Series

TRAIN_STYLE, HELD_OUT_STYLE, BEST_STYLE, CURSOR_STYLE = "$primary", "$warning", "$success", "$text-accent"
MARK_STYLE = "$text-secondary"
POINTS_PER_CELL = 2
"""Points per cell: a braille character has two columns of dots."""


@dataclass(frozen=True)
class Metric:
    """A metric that can be plotted: its key in the record, its label, and the kind of its y axis."""

    key: str
    label: str
    kind: MetricKind
    train: bool = True
    """Whether training steps record it."""
    logged: bool = False
    """Whether a script has logged it, under its own name."""


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


@dataclass
class Curves:
    """The curves of one run, updated incrementally from its view."""

    view: RunView | None = None
    unit: str = "epochs"
    last_x: float = 0.0
    planned_epochs: float | None = None
    marks: list[Mark] = field(default_factory=list)
    experiment: Experiment | None = None
    """The experiment with all later changes of its settings."""
    _train: dict[str, Curve] = field(default_factory=dict)
    _evaluations: EvaluationCurves = field(default_factory=EvaluationCurves)
    _axes: dict[tuple[str, Scale], Axis] = field(default_factory=dict)

    def update(self, view: RunView) -> None:
        """Add the new rows of `view`; start over if it is another run."""
        if self.view is None or view.folder != self.view.folder:
            self._train, self._axes, self._evaluations = {}, {}, EvaluationCurves()
        self.view = view
        self.experiment = effective_experiment(view)
        per_epoch = view.setup.steps_per_epoch if view.setup else 0
        epochs = view.curve.column("epoch")
        if epochs and not epochs[-1] > 0:  # the rows of this record have no epochs
            epochs = array("d")
        self.unit = "epochs" if per_epoch or epochs else "steps"
        self._per_epoch = float(per_epoch or 1)
        self._xs = epochs or array("d", (step / self._per_epoch for step in view.curve.step))
        self.planned_epochs = _planned_epochs(view, self.experiment) if self.unit == "epochs" else None
        self._evaluations = self._evaluations.updated(
            view, self._per_epoch if self.unit == "epochs" else None
        )
        self.last_x = max(
            self._xs[-1] if self._xs else 0.0, self._evaluations.last_x, float(view.logged_step)
        )
        self.marks = self._event_marks()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that can be plotted for this run; at least one."""
        if self.view is not None and self.view.logged:
            return logged_metrics(self.view)
        return REGRESSION if self._regression else CLASSIFICATION

    @property
    def is_script(self) -> bool:
        """Whether the metrics are those that a script has logged."""
        return self.view is not None and bool(self.view.logged)

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
        """The plotted held-out split: validation if the run has one, else test."""
        return self._evaluations.split

    def train(self, metric: Metric) -> Curve:
        """The curve of a metric on training batches."""
        curve = self._train.setdefault(metric.key, Curve())
        if self.view is not None and metric.logged:
            series = self.view.logged[metric.key]
            curve.update(series.steps, series.values, source=series)
        elif self.view is not None and metric.train:
            values = self.view.curve.column(metric.key)
            curve.update(self._xs, values, source=self.view.curve)
        return curve

    def held_out(self, metric: Metric) -> Curve:
        """The curve of a metric on the held-out split, one point per evaluation."""
        if metric.logged:
            return Curve()
        return self._evaluations.curve(metric.key)

    def x_axis(self, options: PlotOptions) -> Axis:
        """The zoomed window if there is one, else from 0 to an end that doubles as the run grows."""
        return options.x_axis(doubling_end(self.last_x, self.planned_epochs), self.first_x)

    @property
    def first_x(self) -> float:
        """The x position of the first training row."""
        return self._xs[0] if self._xs else 0.0

    def drawing(self, metric: Metric, columns: int, options: PlotOptions, width: int = 1000) -> Drawing:
        """A plot of `metric`, `columns` cells wide, with a title of at most `width` cells."""
        x_axis = self.x_axis(options)
        points = self.train(metric).reduce(x_axis, columns * POINTS_PER_CELL, with_range=options.band)
        means = smooth(points.ys, options.smoothing)
        held_out = self.held_out(metric).reduce(x_axis, columns * POINTS_PER_CELL)
        values = [*means, *held_out.ys]
        y_axis = self._y_axis(metric, values, options)
        series = []
        if options.band:
            series.append(Series("spread", points.xs, points.lows, MUTED, "band", "░", points.highs))
        series.append(Series("train", points.xs, means, TRAIN_STYLE, "line"))
        series.append(_held_out_series(self.split, held_out))
        marks = [*self.marks, *self._level_marks(metric), *self._point_marks(metric)]
        if options.cursor is not None:
            marks.insert(0, Mark(x=options.cursor, glyph="│", style=CURSOR_STYLE))
        train = _curve_value_at(self.train(metric), options.cursor)
        if options.smoothing:
            train = value_at(points.xs, means, options.cursor)
        title = self._title(metric, train, options)
        if note := clipped_note(metric.kind, values, y_axis):
            title.append((f"  {note}", MUTED))
        while len(title) > 1 and sum(len(text) for text, _ in title) > width:
            title.pop()
        return Drawing(series, x_axis, y_axis, marks, title)

    def _y_axis(self, metric: Metric, values: Sequence[float], options: PlotOptions) -> Axis:
        key = metric.key, options.y_scale(metric.kind)
        axis = options.y_axis(metric.kind, values, self._axes.get(key))
        if options.window is None:
            self._axes[key] = axis
        return axis

    def _level_marks(self, metric: Metric) -> list[Mark]:
        """Horizontal lines: chance level, and the published result."""
        marks = []
        classes = len(self.view.setup.classes) if self.view and self.view.setup else 0
        if classes > 1 and metric.key in {"accuracy", "balanced_accuracy"}:
            marks.append(Mark(y=1 / classes, glyph="┈", label="chance"))
        reference = self.experiment.reference if self.experiment else None
        split, _, published = reference.metric.rpartition(".") if reference else ("", "", "")
        if reference is not None and published == metric.key:
            marks.append(Mark(y=reference.published, glyph="╌", label=f"published {split}", style=MARK_STYLE))
        return marks

    def _point_marks(self, metric: Metric) -> list[Mark]:
        """The best epoch, and the final test result."""
        marks = []
        best, final = self._evaluations.best, self._evaluations.final
        value = best.metric(metric.key) if best else None
        if best and value is not None and math.isfinite(value):
            marks.append(Mark(self._evaluations.position(best), value, "▲", style=BEST_STYLE))
        if final and final.split != self.split and (value := final.metric(metric.key)) is not None:
            marks.append(Mark(self._evaluations.position(final), value, "◆", style=BEST_STYLE))
        return marks

    def _title(self, metric: Metric, train: float | None, options: PlotOptions) -> list[tuple[str, str]]:
        at, held_out = options.cursor, self.held_out(metric)
        title = [(metric.label, "bold")]
        if at is not None:
            title.append((f" @{at:.4g}", CURSOR_STYLE))
        if train is not None:
            title += [(" ─ " if metric.logged else " ─train ", TRAIN_STYLE), (format_compact(train), "bold")]
        if (value := _curve_value_at(held_out, at)) is not None:
            title += [
                (f" ╌{split_label(self.split)} ", HELD_OUT_STYLE),
                (format_compact(value), "bold"),
            ]
        if at is None:
            title += self._test_note(metric, len(held_out) > 0)
        return title

    def _test_note(self, metric: Metric, held_out: bool) -> list[tuple[str, str]]:
        """The final test result, or a note that the plotted test split is not used for model selection."""
        final = self._evaluations.final
        if final and final.split != self.split and (value := final.metric(metric.key)) is not None:
            return [(f" ◆test {format_compact(value)}", BEST_STYLE)]
        if held_out and self.split == "test" and final is None:
            return [(" (for display only)", MUTED)]
        return []

    def _event_marks(self) -> list[Mark]:
        """Vertical lines at changes of settings, pauses and resumes."""
        view = self.view
        if view is None:
            return []
        starts = start_steps(view.journal)
        return [
            Mark(x=_step_of(line, starts) / self._per_epoch, label=label, style=MARK_STYLE)
            for line in _merge_changes(view.journal)
            if (label := _event_label(line))
        ]


def logged_metrics(view: RunView) -> tuple[Metric, ...]:
    """The metrics of a script: losses first, then accuracies, then the others by name; and those of its evaluations."""

    def order(name: str) -> tuple[int, str]:
        lower = name.lower()
        return (0 if "loss" in lower else 1 if "acc" in lower else 2), lower

    logged = [Metric(name, sanitize(name), _kind(view.logged[name].values), logged=True)
              for name in sorted(view.logged, key=order)]  # fmt: skip
    evaluated = {
        name for row in view.evaluations[-1:] for name in row.METRICS if row.metric(name) is not None
    }
    return (*logged, *(metric for metric in (*CLASSIFICATION, *REGRESSION[1:3]) if metric.key in evaluated))


def _kind(values: Sequence[float]) -> MetricKind:
    """The kind of axis for values of an unknown metric, by those at its ends."""
    sample = [value for value in (*values[:50], *values[-50:]) if math.isfinite(value)]
    return "amount" if all(value >= 0 for value in sample) else "free"


def _merge_changes(journal: Sequence[JournalLine]) -> list[JournalLine]:
    """The journal with all changes of one setting at one step merged into one, as they share a column."""
    lines: dict[object, JournalLine] = {}
    for index, line in enumerate(journal):
        if isinstance(line, SettingChange):
            key = line.setting, line.step
            first = lines.get(key, line)
            lines[key] = msgspec.structs.replace(line, before=getattr(first, "before", None))
        else:
            lines[index] = line
    return list(lines.values())


def _step_of(line: JournalLine, starts: dict[int, int]) -> int:
    """The step of an event; for an attempt, its first step."""
    match line:
        case SettingChange() | PhaseChange(step=int()):
            return line.step or 0
        case Attempt() | PhaseChange():
            return starts.get(line.attempt, 0)
    return 0


def _event_label(line: JournalLine) -> str:
    """The label of a journal line on the plot; empty for most lines."""
    match line:
        case SettingChange():
            label = change_label(line.setting.rpartition(".")[2], line.before, line.value)
            return f"rollback, {label}" if line.cause is ChangeCause.ROLLBACK else label
        case PhaseChange(phase=Phase.PAUSED):
            return "pause"
        case Attempt(attempt=number) if number > 1:
            return "resume"
    return ""


def change_label(key: str, before: SettingValue, after: SettingValue) -> str:
    """A short label for a change: `lr÷2`, `lr .015`, `+5 ep`."""
    old, new = _number(before), _number(after)
    if new is None:
        return key[:8]
    if key == "epochs":
        return f"{new - old:+.0f} ep" if old is not None else f"{new:.0f} ep"
    if old and new > 0:
        up, ratio = new > old, max(new / old, old / new)
        if abs(ratio - round(ratio)) < 1e-6 and 1 < ratio < 100:
            return f"{key[:6]}{'×' if up else '÷'}{ratio:.0f}"
    return f"{key[:6]} {format_compact(new)}"


def _number(value: SettingValue) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _planned_epochs(view: RunView, experiment: Experiment | None) -> float | None:
    return view.heartbeat.epochs_total or (experiment.train.epochs if experiment else None)


def _held_out_series(name: str, points: ReducedCurve) -> Series:
    """A dashed line; a single point is drawn as a visible dot."""
    if len(points.xs) == 1:
        return Series(name, points.xs, points.ys, HELD_OUT_STYLE, "points", "•")
    return Series(name, points.xs, points.ys, HELD_OUT_STYLE, "dashed")


def value_at(xs: Sequence[float], ys: Sequence[float], at: float | None) -> float | None:
    """The newest value; with `at` the last value at or before that epoch, else the first one."""
    index = len(xs) if at is None else bisect_right(xs, at + 1e-9)
    return ys[max(0, index - 1)] if ys else None


def _curve_value_at(curve: Curve, at: float | None) -> float | None:
    """The newest value of a curve; with `at` the last value at or before that epoch, if there is one."""
    point = curve.nearest(math.inf if at is None else at + 1e-9)
    return None if point is None or (at is not None and point[0] > at + 1e-9) else point[1]
