"""The report of a run: its state, metrics and history, as printed with `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from workbench.config.experiment import Experiment
from workbench.core.settings_schema import SettingValue
from workbench.datasets.dataset_facts import SkippedFiles
from workbench.io.record_codec import read_record
from workbench.models.loaded_weights import LoadedWeights
from workbench.runs.attempts import start_steps, total_seconds
from workbench.runs.enums import Cause, Phase
from workbench.runs.eta import eta
from workbench.runs.journal import (
    Attempt,
    JournalLine,
    NodeChange,
    Notice,
    PhaseChange,
    SettingChange,
    SourceVersion,
    SystemSample,
    attempts_of,
    refused_attempts,
)
from workbench.runs.metric_series import MetricSummary, metric_series, summarize
from workbench.runs.metrics import ClassMetrics, EvaluationFile, EvaluationRow, MetricLine
from workbench.runs.nodes import NodesReport, describe_node_change, nodes_report
from workbench.runs.published_reference import ReferenceReport, compare_to_reference
from workbench.runs.reader import RunView, read_view
from workbench.runs.records import Best, Seconds, Setup
from workbench.runs.resource_usage import UsageSummary, summarize_usage
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_logs import first_time, last_time
from workbench.runs.scores import Score, logged_score, order_scores, test_score
from workbench.runs.script import Script
from workbench.runs.slurm_job import SlurmReport, slurm_report
from workbench.runs.status import Status

THROUGHPUT_PHASES = {Phase.TRAINING, Phase.EVALUATING}
"""Phases in which the newest throughput is current."""
CLASSIFICATION_METRICS = ("loss", "accuracy", "balanced_accuracy", "macro_f1", "top5", "tta_accuracy")
REGRESSION_METRICS = ("loss", "mse", "mae", "r2")
CRASH_REASON = "crashed (killed, or the host restarted)"


class LiveMetrics(msgspec.Struct, frozen=True):
    """The newest metrics of a live run; `None` where one is unknown."""

    lr: float | None
    loss: float | None
    """Training loss."""
    accuracy: float | None
    """Training accuracy."""
    samples_per_second: float | None
    eta: float | None
    """Estimated seconds to the last step."""


class Change(msgspec.Struct, frozen=True):
    """A change during the run: a setting, a pause, a resume."""

    step: int | None
    """Steps done when it took effect."""
    what: str
    """The change, for people."""


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report of a run, printed by `train`, `resume` and `show` with `--json`."""

    run: str
    name: str
    group: str
    tags: tuple[str, ...]
    notes: str
    status: Status
    phase: Phase | None
    """The current phase of a live run."""
    position: int | None
    """The position of a queued run, from 1."""
    waits_for: str | None
    """What a queued run waits for, for people."""
    slurm: SlurmReport | None
    """The Slurm job that it was last submitted as."""
    reason: str | None
    """Why the run ended, for people."""
    refused: str | None
    """Why the last resume was refused, for people; `None` if it was not."""
    cause: Cause | None
    unreadable_files: tuple[str, ...]
    """See `RunView.unreadable_files`."""
    log_notices: tuple[str, ...]
    """See `RunView.log_notices`."""
    directory: str
    experiment: Experiment | None
    """The experiment with all changes by resumes and requests; `None` for a script and for an external log."""
    script: Script | None
    source: SourceVersion | None
    """The git commit of the user's code at the newest start."""
    environment: dict[str, str | None]
    """Host, device and package versions of the newest attempt, by name."""
    format: str | None
    """Who wrote the log of a run of another program, see `LogFormat`; `None` for all other runs."""
    logs: tuple[str, ...]
    """The paths of such logs."""
    exit_code: int | None
    """Of an ended script."""
    config: dict[str, str | float | int | bool | None]
    """The settings in logs of other programs, and those that a script reports."""
    summary: dict[str, str | float | int | bool | None]
    """Results that are noted there."""
    metrics: dict[str, MetricSummary]
    """All metrics by name, see `metric_series`."""
    step: int
    steps_total: int | None
    epoch: int
    """Completed epochs."""
    epochs_total: int | None
    best: Best | None
    now: LiveMetrics | None
    changes: tuple[Change, ...]
    """Oldest first."""
    exact: bool
    """Whether the run is identical to an uninterrupted one."""
    seconds: Seconds
    """Wall time, summed over attempts."""
    notices: tuple[str, ...]
    """What was said while it ran, oldest first: outputs that are not logits, a GPU that can't be used, …"""
    data_notices: tuple[str, ...]
    """What was taken as classes and splits, what was left out, resizing and imbalance, for people."""
    skipped: SkippedFiles
    """Files of the dataset that are not used."""
    class_counts: dict[str, tuple[int, ...]]
    """Samples of each class, by split."""
    weights: LoadedWeights | None
    """The pretrained weights that the run started from."""
    execution: dict[str, str]
    """How data is provided and how steps are computed, for people."""
    processes: int
    """How many train together."""
    nodes: NodesReport | None
    """The hosts that have them; `None` for a run on one."""
    test: dict[str, float | None] | None
    """Test metrics of the result; `None` until it is measured."""
    per_class: tuple[ClassMetrics, ...] | None
    per_class_split: str | None
    per_class_epoch: int | None
    reference: ReferenceReport | None
    system: UsageSummary | None

    def to_json(self) -> dict[str, object]:
        """JSON values; NaN and infinities are still floats."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        plain["experiment"] = {} if self.experiment is None else self.experiment.to_dict()
        plain["per_class"] = self.per_class and [class_to_json(row) for row in self.per_class]
        plain["seconds"] = {
            name: getattr(self.seconds, name) for name in ("load", "train", "evaluate", "total")
        }
        return plain


class RunEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """A new evaluation of the best weights of a run on one split, printed by `evaluate` with `--json`."""

    run: str
    step: int
    """The step of the weights."""
    epoch: int
    split: str
    count: int
    """Number of samples."""
    metrics: dict[str, float]
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, int, int], ...]
    """Non-zero cells: true class, predicted class, number of samples."""

    def to_json(self) -> dict[str, object]:
        """JSON values; NaN and infinities are still floats."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return {**plain, "per_class": [class_to_json(row) for row in self.per_class]}


def class_to_json(row: ClassMetrics) -> dict[str, str | float | None]:
    """The metrics of a class in `--json`: all keys, undefined metrics as null."""
    return {field.encode_name: getattr(row, field.name) for field in msgspec.structs.fields(row)}


def read_report(folder: RunFolder) -> RunReport:
    """The report of the run in `folder`."""
    return build_report(read_view(folder))


def build_report(view: RunView) -> RunReport:
    """The report of a run from its view."""
    beat, final, newest = view.heartbeat, final_evaluation(view), newest_evaluation(view)
    experiment, live = effective_experiment(view), view.status.live
    setup, attempt = view.setup or Setup(), next(reversed(attempts_of(view.journal)), Attempt())
    return RunReport(
        run=view.external.place if view.external and view.external.opened else view.folder.id,
        name=view.name,
        group=view.notes.group,
        tags=view.notes.tags,
        notes=view.notes.notes,
        status=view.status,
        phase=beat.phase if live else None,
        position=(view.waiting.position or None) if view.waiting else None,
        waits_for=view.waiting.text if view.waiting else None,
        slurm=slurm_report(view.folder, view.slurm_job),
        reason=end_reason(view),
        refused=refusal(view),
        cause=end_cause(view),
        unreadable_files=view.unreadable_files,
        log_notices=view.log_notices,
        directory=str(_directory(view)),
        experiment=experiment,
        script=view.script,
        source=attempt.source,
        environment={"host": attempt.host, "device": setup.device_name or beat.device, **attempt.versions},
        format=view.external.format if view.external else None,
        logs=tuple(map(str, view.external.paths)) if view.external else (),
        exit_code=view.exit.exit_code if view.exit and view.status.ended else None,
        config=view.config.config,
        summary=view.config.summary,
        metrics={name: summarize(series) for name, series in metric_series(view).items()},
        step=max(beat.step, view.logged_step),
        steps_total=total_steps(view, experiment),
        epoch=beat.epoch,
        epochs_total=experiment.train.epochs if experiment else beat.epochs_total,
        best=beat.best,
        now=live_metrics(view) if live else None,
        changes=tuple(list_changes(view.journal)),
        exact=not inexact_reasons(view),
        seconds=elapsed_seconds(view),
        notices=_run_notices(view, setup.data_notices),
        data_notices=setup.data_notices,
        skipped=SkippedFiles.of(setup.skipped_files),
        class_counts=setup.class_counts,
        weights=setup.weights,
        execution=setup.execution,
        processes=setup.processes,
        nodes=nodes_report(view.placement, view.nodes, live=live),
        test=result_metrics(final),
        per_class=read_per_class(view, newest),
        per_class_split=newest.split if newest else None,
        per_class_epoch=newest.weights_of_epoch if newest else None,
        reference=compare_to_reference(view, final),
        system=summarize_usage([line for line in view.journal if isinstance(line, SystemSample)]),
    )


def _run_notices(view: RunView, others: tuple[str, ...]) -> tuple[str, ...]:
    """The notices of all attempts, each once, without `others`."""
    said = dict.fromkeys(line.text for line in view.journal if isinstance(line, Notice) and line.text)
    return tuple(text for text in said if text not in others)


def _directory(view: RunView) -> Path:
    """The folder of the run; the folder of its log, if another program writes that."""
    if view.external is None:
        return view.folder.path
    place = Path(view.external.place)
    return place if place.is_dir() else place.parent


def effective_experiment(view: RunView) -> Experiment | None:
    """The experiment with all changes by resumes and requests; `None` where its file can't be read."""
    if view.experiment is None:
        return None
    overrides: dict[str, SettingValue] = {}
    for line in view.journal:
        if isinstance(line, Attempt):
            overrides |= line.overrides
        elif isinstance(line, SettingChange):
            overrides[line.setting] = line.value
    return view.experiment.with_overrides(overrides | view.pending_overrides)


def live_metrics(view: RunView) -> LiveMetrics:
    """The newest metrics of a live run."""
    newest = {name: column[-1] if (column := view.steps.column(name)) else None
              for name in ("lr", "loss", "accuracy")}  # fmt: skip
    return LiveMetrics(**newest, samples_per_second=throughput(view), eta=eta(view.heartbeat))


def throughput(view: RunView) -> float | None:
    """The newest training throughput in samples/s, the last one of an ended run; `None` while a live run is idle."""
    if view.status.live and view.heartbeat.phase not in THROUGHPUT_PHASES:
        return None
    return view.last_wall.samples_per_second


def phase_seconds(view: RunView, now: float) -> float | None:
    """Seconds since the current phase began, or the attempt; `None` before the first. `now`: Unix seconds."""
    starts = (line.time for line in reversed(view.journal) if isinstance(line, Attempt | PhaseChange))
    start = next(starts, None)
    return None if start is None else max(0.0, now - start)


def list_changes(journal: Sequence[JournalLine]) -> list[Change]:
    """The changes during the run, oldest first."""
    starts, refused = start_steps(journal), refused_attempts(journal)
    journal = [line for line in journal if not (isinstance(line, Attempt) and line.attempt in refused)]
    return [Change(change_step(line, starts), what) for line in journal if (what := describe_change(line))]


def change_step(line: JournalLine, starts: dict[int, int]) -> int | None:
    """The step at which a change took effect."""
    if isinstance(line, Attempt | Notice):
        return starts.get(line.attempt)
    return line.step if isinstance(line, SettingChange | PhaseChange | NodeChange) else None


def describe_change(line: JournalLine) -> str:
    """The change in a journal line, for people; empty for most lines."""
    match line:
        case SettingChange():
            cause = f" ({line.cause})" if line.cause else ""
            return f"{line.setting.removeprefix('train.')} {line.before} → {line.value}{cause}"
        case PhaseChange(phase=Phase.PAUSED):
            return "paused"
        case NodeChange():
            return describe_node_change(line)
        case Notice(from_step=int()):
            return line.text
        case Attempt(attempt=number) if number > 1:
            overrides = [f"{key.removeprefix('train.')} {value}" for key, value in line.overrides.items()]
            return ", ".join(["resumed", *overrides])
    return ""


def end_reason(view: RunView) -> str | None:
    """Why the run ended, in one line; `None` for a live run, and where no reason is recorded."""
    if view.slurm_end:
        return f"{view.slurm_end}; workbench resume {view.folder.id} submits it again"
    if view.status is Status.CRASHED:
        return f"{CRASH_REASON}; workbench resume continues it"
    if view.status is Status.UNKNOWN:
        return view.unknown_reason or None
    return view.exit.reason if view.exit and view.status.ended else None


def refusal(view: RunView) -> str | None:
    """Why the last attempt to resume was refused; `None` if it was not."""
    newest = max((attempt.attempt for attempt in view.attempts), default=0)
    return refused_attempts(view.journal).get(newest)


def total_steps(view: RunView, experiment: Experiment | None) -> int | None:
    """The steps of all epochs, also of a resume with other epochs whose worker has only just started."""
    beat, steps = view.heartbeat, view.setup.steps_per_epoch if view.setup else 0
    if experiment is None or not steps or beat.epochs_total in {None, experiment.train.epochs}:
        return beat.steps_total
    return steps * experiment.train.epochs


def end_cause(view: RunView) -> Cause | None:
    """The cause of the end; `None` for a live run."""
    if view.status is Status.CRASHED:
        return Cause.CRASH
    return view.exit.cause if view.exit and view.status.ended else None


def inexact_reasons(view: RunView) -> list[str]:
    """Why the run is no longer identical to an uninterrupted one; empty while it is."""
    return [line.text for line in view.journal if isinstance(line, Notice) and not line.exact]


def elapsed_seconds(view: RunView) -> Seconds:
    """Wall time by activity, in seconds, summed over attempts including the current one.

    Of the log of another program only the total is known: the time from its first value to its newest.
    """
    if view.external is not None:
        series = view.logged.values()
        total = last_time(series) - first_time(series)
        return Seconds(total=round(total, 3)) if total > 0 else Seconds()
    return total_seconds(view.journal, view.heartbeat)


def final_evaluation(view: RunView) -> EvaluationRow | None:
    """The evaluation row that is the result of the run; `None` until it is measured."""
    return next((row for row in reversed(view.evaluations) if row.final), None)


def last_result(rows: Sequence[MetricLine]) -> dict[str, float | None] | None:
    """The test metrics of the result of an ended run, among its last rows; `None` without a result."""
    return result_metrics(
        next((row for row in reversed(rows) if isinstance(row, EvaluationRow) and row.final), None)
    )


def view_scores(view: RunView) -> tuple[Score, ...]:
    """The test result, and the best epoch."""
    if not view.is_training:
        logged = logged_score({name: one.values[-1] for name, one in view.logged.items() if len(one)})
        return () if logged is None else (logged,)
    if view.experiment is None:
        return ()
    is_regression = (
        view.setup is not None and view.setup.task == "regression"
    )  # of a custom dataset known only now
    monitor = "loss" if is_regression else view.experiment.train.monitor
    newest = view.evaluations[-1] if view.evaluations else None
    best = next((row for row in reversed(view.evaluations) if row.best), None)
    value = best.metric(monitor) if best else None
    latest = newest if newest is not None and newest.split == "test" else None
    return order_scores(
        test_score(result_metrics(final_evaluation(view)) if view.status.ended else None, monitor),
        Score(best.split, monitor, value, int(best.epoch))
        if best is not None and value is not None
        else None,
        test_score({name: latest.metric(name) for name in ("accuracy", "loss")}, monitor) if latest else None,
    )


def newest_evaluation(view: RunView) -> EvaluationRow | None:
    """The result, else the newest evaluation of any split."""
    return final_evaluation(view) or (view.evaluations[-1] if view.evaluations else None)


def read_evaluation(folder: RunFolder, row: EvaluationRow | None) -> EvaluationFile | None:
    """The evaluation file of a row, with step and epoch of its weights; `None` where it can't be read."""
    if row is None:
        return None
    evaluation = read_record(folder.evaluation(row.step, row.split), EvaluationFile)
    if evaluation is None:
        return None
    return msgspec.structs.replace(evaluation, weights_step=row.weights_step, weights_epoch=row.weights_epoch)


def read_per_class(view: RunView, row: EvaluationRow | None) -> tuple[ClassMetrics, ...] | None:
    """Metrics of every class; `None` where the evaluation file can't be read."""
    evaluation = read_evaluation(view.folder, row)
    return None if evaluation is None else evaluation.per_class


def result_metrics(final: EvaluationRow | None) -> dict[str, float | None] | None:
    """The test metrics of the result by name; `None` without a result."""
    if final is None or final.split != "test":
        return None
    if final.r2 is not None:
        return {name: final.metric(name) for name in REGRESSION_METRICS}
    always = ("loss", "accuracy")
    known = {name: final.metric(name) for name in CLASSIFICATION_METRICS}
    return {name: value for name, value in known.items() if name in always or value is not None}
