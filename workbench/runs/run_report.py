"""What a run amounts to, as `--json` prints it and the screen sums it up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import msgspec

from workbench.config.experiment import Experiment
from workbench.core.settings_schema import SettingValue
from workbench.io.record_codec import read_record
from workbench.runs.attempts import start_steps
from workbench.runs.enums import Cause, Phase
from workbench.runs.journal import (
    Attempt,
    JournalLine,
    Notice,
    PhaseChange,
    SettingChange,
    SystemSample,
)
from workbench.runs.metrics import ClassMetrics, EvaluationFile, EvaluationRow
from workbench.runs.published_reference import ReferenceReport, compare
from workbench.runs.reader import RunReader, RunView
from workbench.runs.records import Best, Heartbeat, Seconds
from workbench.runs.resource_usage import UsageSummary, summarize_usage
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status

MOVING = {Phase.TRAINING, Phase.EVALUATING}
"""Phases in which the newest throughput is that of now."""
CLASSIFICATION = ("loss", "accuracy", "balanced_accuracy", "macro_f1", "top5", "tta_accuracy")
REGRESSION = ("loss", "mse", "mae", "r2")
LONGEST_ETA = 1e9
"""Seconds: a longer estimate is a damaged value."""
LOST_REASON = "its processes ended without an error message (killed, or the host restarted)"


class LiveMetrics(msgspec.Struct, frozen=True):
    """The newest metrics of a live run; `None` where one is not known."""

    lr: float | None
    loss: float | None
    """Of training."""
    accuracy: float | None
    samples_per_second: float | None
    eta: float | None
    """Seconds to the last step."""


class Change(msgspec.Struct, frozen=True):
    """Something that changed while the run went on."""

    step: int | None
    """From which it holds."""
    what: str


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """The document that `train`, `resume` and `show` print with `--json`."""

    run: str
    name: str
    tags: tuple[str, ...]
    notes: str
    status: Status
    phase: Phase | None
    """Of a live run."""
    reason: str | None
    cause: Cause | None
    directory: str
    experiment: Experiment | None
    """As it is by now, with what resumes and people changed."""
    step: int
    steps_total: int | None
    epoch: int
    """Completed ones."""
    epochs_total: int | None
    best: Best | None
    now: LiveMetrics | None
    changes: tuple[Change, ...]
    """Oldest first."""
    exact: bool
    seconds: Seconds
    """Wall time, summed over attempts."""
    execution: dict[str, str]
    """How data is provided and steps are computed, for people."""
    test: dict[str, float | None] | None
    """Metrics of the result; `None` until it is measured."""
    per_class: tuple[ClassMetrics, ...] | None
    per_class_split: str | None
    per_class_epoch: int | None
    reference: ReferenceReport | None
    system: UsageSummary | None

    def to_json(self) -> dict[str, Any]:
        """JSON values; NaN and infinities are still floats."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        plain["experiment"] = {} if self.experiment is None else self.experiment.to_dict()
        plain["per_class"] = self.per_class and [class_json(row) for row in self.per_class]
        plain["seconds"] = {
            name: getattr(self.seconds, name) for name in ("load", "train", "evaluate", "total")
        }
        return plain


class RunEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The document that `evaluate` prints with `--json`: a run's best weights, measured again on one split."""

    run: str
    step: int
    """When these weights were reached."""
    epoch: int
    split: str
    count: int
    """Samples."""
    metrics: dict[str, float]
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, int, int], ...]
    """True class, predicted class, samples; zeros are left out."""

    def to_json(self) -> dict[str, Any]:
        """JSON values; NaN and infinities are still floats."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {**plain, "per_class": [class_json(row) for row in self.per_class]}


def class_json(row: ClassMetrics) -> dict[str, str | float | None]:
    """A class in `--json`: every key, undefined metrics as null."""
    return {field.encode_name: getattr(row, field.name) for field in msgspec.structs.fields(row)}


def report_of(folder: RunFolder) -> RunReport:
    """The report of the run in a folder."""
    reader = RunReader(folder)
    try:
        return build_report(reader.read_all())
    finally:
        reader.close()


def build_report(view: RunView) -> RunReport:
    """The report of a view that is at hand."""
    beat, final, shown = view.heartbeat, final_evaluation(view), newest_evaluation(view)
    experiment, live = effective_experiment(view), view.status.live
    return RunReport(
        run=view.folder.id,
        name=view.name,
        tags=view.notes.tags,
        notes=view.notes.notes,
        status=view.status,
        phase=beat.phase if live else None,
        reason=reason(view),
        cause=cause(view),
        directory=str(view.folder.path),
        experiment=experiment,
        step=beat.step,
        steps_total=beat.steps_total,
        epoch=beat.epoch,
        epochs_total=experiment.train.epochs if experiment else None,
        best=beat.best,
        now=live_metrics(view) if live else None,
        changes=tuple(changes(view.journal)),
        exact=not inexact(view),
        seconds=elapsed(view),
        execution=view.setup.execution if view.setup else {},
        test=test_metrics(final),
        per_class=per_class(view, shown),
        per_class_split=shown.split if shown else None,
        per_class_epoch=shown.weights_of_epoch if shown else None,
        reference=compare(view, final),
        system=summarize_usage([line for line in view.journal if isinstance(line, SystemSample)]),
    )


def effective_experiment(view: RunView) -> Experiment | None:
    """The experiment with what resumes and people changed since."""
    if view.experiment is None:
        return None
    overrides: dict[str, SettingValue] = {}
    for line in view.journal:
        if isinstance(line, Attempt):
            overrides |= line.overrides
        elif isinstance(line, SettingChange):
            overrides[line.setting] = line.value
    return view.experiment.with_overrides(overrides)


def live_metrics(view: RunView) -> LiveMetrics:
    """The newest metrics of a run that goes on."""
    newest = {name: column[-1] if (column := view.steps.column(name)) else None
              for name in ("lr", "loss", "accuracy")}  # fmt: skip
    return LiveMetrics(**newest, samples_per_second=throughput(view), eta=eta(view.heartbeat))


def throughput(view: RunView) -> float | None:
    """Newest samples/s of training, of an ended run its last; `None` where a live run does not train now."""
    if view.status.live and view.heartbeat.phase not in MOVING:
        return None
    return view.last_wall.samples_per_second


def eta(heartbeat: Heartbeat) -> float | None:
    """Seconds to the last step, as the worker estimates them; `None` where it has no estimate."""
    seconds = heartbeat.eta
    return seconds if seconds is not None and 0 <= seconds < LONGEST_ETA else None


def changes(journal: Sequence[JournalLine]) -> list[Change]:
    """What was changed on the way, oldest first."""
    starts = start_steps(journal)
    return [Change(_step_of(line, starts), what) for line in journal if (what := _describe_change(line))]


def _step_of(line: JournalLine, starts: dict[int, int]) -> int | None:
    """The step from which a change holds."""
    if isinstance(line, Attempt | Notice):
        return starts.get(line.attempt)
    return line.step if isinstance(line, SettingChange | PhaseChange) else None


def _describe_change(line: JournalLine) -> str:
    """What a journal line changed, in words; empty for most."""
    match line:
        case SettingChange():
            cause = f" ({line.cause})" if line.cause else ""
            return f"{line.setting.removeprefix('train.')} {line.before} → {line.value}{cause}"
        case PhaseChange(phase=Phase.PAUSED):
            return "paused"
        case Notice(from_step=int()):
            return line.text
        case Attempt(attempt=number) if number > 1:
            overrides = [f"{key.removeprefix('train.')} {value}" for key, value in line.overrides.items()]
            return ", ".join(["resumed", *overrides])
    return ""


def reason(view: RunView) -> str | None:
    """Why a run ended as it did, in one line; `None` while it goes on or when there is nothing to say."""
    if view.status is Status.LOST:
        return f"{LOST_REASON}; resume continues it"
    return view.exit.reason if view.exit and not view.status.live else None


def cause(view: RunView) -> Cause | None:
    """Why a run ended, as a word; `None` while it goes on."""
    if view.status is Status.LOST:
        return Cause.CRASH
    return view.exit.cause if view.exit and not view.status.live else None


def inexact(view: RunView) -> list[str]:
    """Why the run is no longer exactly what an uninterrupted one would be; empty while it is."""
    return [line.text for line in view.journal if isinstance(line, Notice) and not line.exact]


def elapsed(view: RunView) -> Seconds:
    """Wall time of each part, summed over attempts, the one that goes on included."""
    by_attempt = {
        line.attempt: line.seconds for line in view.journal if isinstance(line, PhaseChange) and line.seconds
    }
    beat = view.heartbeat
    if beat.seconds and beat.seconds.total >= by_attempt.get(beat.attempt, Seconds()).total:
        by_attempt[beat.attempt] = beat.seconds
    return reduce(add, by_attempt.values(), Seconds())


def final_evaluation(view: RunView) -> EvaluationRow | None:
    """The evaluation row that is the run's result, or `None` until it is measured."""
    return next((row for row in reversed(view.evaluations) if row.final), None)


def newest_evaluation(view: RunView) -> EvaluationRow | None:
    """The result, else the newest evaluation of any split."""
    return final_evaluation(view) or (view.evaluations[-1] if view.evaluations else None)


def read_evaluation(folder: RunFolder, row: EvaluationRow | None) -> EvaluationFile | None:
    """The metrics by class and the confusion matrix of an evaluation row, and whose weights they are of."""
    if row is None:
        return None
    found = read_record(folder.evaluation(row.step, row.split), EvaluationFile)
    if found is None:
        return None
    return msgspec.structs.replace(found, weights_step=row.weights_step, weights_epoch=row.weights_epoch)


def per_class(view: RunView, row: EvaluationRow | None) -> tuple[ClassMetrics, ...] | None:
    """Metrics of every class, or `None`."""
    found = read_evaluation(view.folder, row)
    return None if found is None else found.per_class


def test_metrics(final: EvaluationRow | None) -> dict[str, float | None] | None:
    """The result's metrics by name, or `None`."""
    if final is None or final.split != "test":
        return None
    if final.r2 is not None:
        return {name: final.metric(name) for name in REGRESSION}
    always = ("loss", "accuracy")
    known = {name: final.metric(name) for name in CLASSIFICATION}
    return {name: value for name, value in known.items() if name in always or value is not None}
