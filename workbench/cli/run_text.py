"""Run reports as text: progress, setting changes, metrics, per-class metrics, and the published result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from workbench.cli.console import print_result, print_status
from workbench.cli.tables import print_table
from workbench.config.data_summary import DataSummary
from workbench.core import text
from workbench.core.settings_schema import SettingValue
from workbench.core.text import sanitize
from workbench.runs.metric_series import MetricSummary
from workbench.runs.metrics import ClassMetrics
from workbench.runs.nodes import NodesReport, describe_usage
from workbench.runs.published_reference import ClassComparison, CurveComparison, ReferenceReport
from workbench.runs.resource_usage import UsageSummary
from workbench.runs.run_report import Change, LiveMetrics, RunEvaluation, RunReport
from workbench.runs.scores import split_label

SHOWN_CHANGES = 8
"""Number of newest setting changes that are shown."""
SHOWN_NOTICES = 8
"""Number of newest notices that are shown."""
MAX_METRICS = 40
MAX_SETTINGS = 20
MAX_CLASSES = 30
"""Per-class metrics of more classes are not printed."""


def print_run_report(report: RunReport, *, with_notices: bool = True) -> None:
    """Print the report of a run; `with_notices`: also those that were printed while it was followed."""
    details = "".join(f", {detail}" for detail in (report.phase, report.format) if detail)
    print_result(f"{report.name} ({report.run}): {report.status}{details}")
    if report.test:
        print_result(f"  test  {_metrics_line(report.test)}")
    _print_code(report)
    if progress := progress_line(report):
        print_result(f"  {progress}")
    if report.script or report.format:
        _print_logged(report.metrics, report.log_notices)
    if report.now and (now := _live_line(report.now)):
        print_result(f"  now   {now}")
    _print_changes(report.changes)
    _print_remarks(report)
    for notice in report.notices[-SHOWN_NOTICES:] if with_notices else ():
        print_result(f"  notice  {sanitize(notice)}")
    if report.format:
        _print_config(report.config)
        print_result(f"  logs  {', '.join(report.logs)}")
        return
    if report.reference:
        _print_reference(report.reference)
    _print_class_section(report)
    _print_data(report)
    if report.weights:
        print_result(f"  weights  {report.weights.describe()}")
    for name, description in report.execution.items():
        print_result(f"  {name}  {description}")
    if report.system:
        print_result(f"  {usage_line(report.system)}")
    if report.nodes:
        _print_nodes(report.nodes)
    print_result(f"  folder  {report.directory}  ({text.format_duration(report.seconds.total)})")


def _print_nodes(nodes: NodesReport) -> None:
    """Print the nodes of a run, and what starts those that are missing."""
    if nodes.waits_for:
        print_result(f"  {nodes.waits_for}; to be executed there: {nodes.command}")
    for node in nodes.nodes:
        lost = "" if node.lost_since is None else f"lost since {text.format_time(node.lost_since)}  "
        print_result(f"  node  {sanitize(node.host)}  {lost}{describe_usage(node.usage)}")


def _print_code(report: RunReport) -> None:
    """Print the command of a script, and the git commit of the user's code."""
    if report.script:
        print_result(f"  command  {report.script.command_line}  (in {report.script.working_directory})")
    if report.source:
        print_result(f"  code  {report.source.text}")


def _print_remarks(report: RunReport) -> None:
    """Print why the run ended, what can't be read, and what the user has noted."""
    if report.waits_for:
        place = f"position {report.position} in the queue" if report.position else "queued in Slurm"
        print_result(f"  {place}, waits for {report.waits_for}")
    if report.slurm:
        print_result(f"  Slurm job {report.slurm.job}: {report.slurm.script}")
    if report.reason:
        print_result(f"  {report.reason}")
    if report.unreadable_files:
        print_result(f"  damaged files that can't be read: {', '.join(report.unreadable_files)}")
    group = f"group {report.group}" if report.group else ""
    if notes := "  ".join(filter(None, [group, ", ".join(report.tags), report.notes])):
        print_result(f"  {notes}")


def print_data(summary: DataSummary | None) -> None:
    """Print on stderr what a run will use of a folder of images; `None`: nothing is known before loading."""
    for line in summary.lines if summary else ():
        print_status(f"data: {line}")


def progress_line(report: RunReport) -> str:
    """Epochs, steps and the best epoch of a run, with the remaining time; empty for a script that counts neither."""
    total = f"/{report.steps_total}" if report.steps_total else ""
    is_training = not report.script and not report.format
    parts = [f"step {report.step}{total}"] if report.step or is_training else []
    if report.epochs_total or is_training:
        parts.insert(0, f"epoch {report.epoch}/{report.epochs_total or '?'}")
    if best := report.best:
        parts.append(
            f"best {split_label('validation')} {best.metric} {text.format_fraction(best.value)}@{best.epoch}"
        )
    if report.now and report.now.eta is not None:
        parts.append(f"ETA {text.format_duration(report.now.eta)}")
    return "  ".join(parts)


def _print_logged(metrics: Mapping[str, MetricSummary], notices: Sequence[str]) -> None:
    """Print the metrics of a script or a log, and what in its logs could not be read."""
    for notice in notices:
        print_result(f"  in its logs  {notice}")
    if metrics:
        cells = [
            (
                f"  {sanitize(name)}",
                *map(text.format_decimals, (row.last, row.min, row.max)),
                row.count,
                row.last_step,
            )
            for name, row in sorted(metrics.items())
        ]
        print_table(("  metric", "last", "min", "max", "values", "last step"), cells[:MAX_METRICS])
        if len(cells) > MAX_METRICS:
            print_result(f"  and {text.plural(len(cells) - MAX_METRICS, 'more metric')} (--json has all)")


def _print_config(config: Mapping[str, SettingValue]) -> None:
    """Print the settings in the logs of another program."""
    for name, value in sorted(config.items())[:MAX_SETTINGS]:
        print_result(f"  {name} = {text.truncate(text.format_setting(value), 60)}")
    if len(config) > MAX_SETTINGS:
        print_result(f"  and {text.plural(len(config) - MAX_SETTINGS, 'more setting')} (--json has all)")


def _live_line(now: LiveMetrics) -> str:
    """The newest training metrics; empty before the first."""
    parts = [] if now.lr is None else [f"lr {now.lr:.3g}"]
    metrics = {"loss": now.loss, "accuracy": now.accuracy}
    parts += [
        f"train {name} {text.format_decimals(value)}" for name, value in metrics.items() if value is not None
    ]
    if now.samples_per_second:
        parts.append(f"{text.format_count(now.samples_per_second)} samples/s")
    return "  ".join(parts)


def _print_changes(changes: Sequence[Change]) -> None:
    if len(changes) > SHOWN_CHANGES:
        print_result(f"  {len(changes) - SHOWN_CHANGES} earlier changes")
    for change in changes[-SHOWN_CHANGES:]:
        step = "-" if change.step is None else change.step
        print_result(f"  step {step}  {change.what}")


def _metrics_line(metrics: Mapping[str, float | None]) -> str:
    return "  ".join(
        f"{name} {text.format_decimals(value)}" for name, value in metrics.items() if value is not None
    )


def usage_line(system: UsageSummary) -> str:
    """Mean load and peak memory of a run."""
    parts = []
    if system.cpu is not None:
        parts.append(f"{system.cpu:.1f} cores busy")
    if system.rss is not None:
        parts.append(f"{text.format_bytes(system.rss)} memory")
    if system.gpu_load is not None:
        parts.append(f"GPU {system.gpu_load:.0%}")
    if system.gpu_memory is not None:
        parts.append(
            f"{text.format_bytes(system.gpu_memory)} of {text.format_bytes(system.gpu_total)} GPU memory"
        )
    return f"used  {', '.join(parts)} ({text.plural(system.samples, 'sample')})"


def _print_reference(reference: ReferenceReport) -> None:
    """Print the published result beside ours: the compared metric, curves, first test samples."""
    print_result(f"  {reference_line(reference)}")
    if reference.formula:
        ours = text.format_decimals(reference.ours_by_formula)
        print_result(
            f"  as published ({reference.formula}): ours {ours}, published {text.format_decimals(reference.published)}"
        )
    if reference.note:
        print_result(f"  {reference.note}")
    for curve in reference.curves or ():
        _print_curve(curve)
    if reference.examples:
        examples = (
            f"{example.truth}: {example.ours}"
            + (f" (published: {example.published})" if example.published else "")
            for example in reference.examples
        )
        print_result(f"  first test samples  {',  '.join(examples)}")


def _print_curve(curve: CurveComparison) -> None:
    """Print our curve and the published one, aligned."""
    label = f"{curve.metric} by {curve.by}"
    print_result(f"  {label}  ours      {'  '.join(map(text.format_decimals, curve.ours))}")
    print_result(f"  {' ' * len(label)}  published {'  '.join(map(text.format_decimals, curve.published))}")


def _print_data(report: RunReport) -> None:
    """Print what the run used as its data, and every file that it skipped."""
    for notice in report.data_notices:
        print_result(f"  data  {notice}")
    for file in report.skipped.files:
        print_result(f"  skipped  {file.path}: {file.reason}")
    if report.skipped.count > len(report.skipped.files):
        rest = report.skipped.count - len(report.skipped.files)
        print_result(f"  skipped  {text.plural(rest, 'more file')}, listed in {report.directory}/setup.json")


def _print_class_section(report: RunReport) -> None:
    if not report.per_class:
        return
    moment = "" if report.script or report.format else f" after epoch {report.per_class_epoch}"
    print_result(f"  per-class metrics, {report.per_class_split} data{moment}")
    published = (report.reference.per_class or ()) if report.reference else ()
    _print_classes(report.per_class, published, report.class_counts.get("train", ()))


def _print_classes(
    rows: Sequence[ClassMetrics],
    published: Sequence[ClassComparison] = (),
    training: Sequence[int] = (),
) -> None:
    """Print per-class metrics, with published accuracies and numbers of training samples where there are some."""
    if not 0 < len(rows) <= MAX_CLASSES:
        return
    known = len(training) == len(rows)
    published_accuracy = {row.name: text.format_fraction(row.published) for row in published}
    print_table(
        ("  class", "accuracy (recall)", "precision", "f1", "support", *(["training"] if known else []),
         *(["published"] if published_accuracy else [])),
        [
            ("  " + sanitize(row.name), *map(text.format_fraction, (row.accuracy, row.precision, row.f1)), row.support,
             *([training[index]] if known else []),
             *([published_accuracy.get(row.name, "-")] if published_accuracy else []))
            for index, row in enumerate(rows)
        ],
    )  # fmt: skip


class PublishedResult(Protocol):
    """A published metric and ours, of a run or of a classified image."""

    @property
    def metric(self) -> str:
        """Name of the metric."""

    @property
    def published(self) -> float:
        """The published value."""

    @property
    def ours(self) -> float | None:
        """Our value; `None` if it has not been measured."""

    @property
    def within(self) -> bool | None:
        """Whether both agree within the tolerance; `None` if they are not comparable."""

    @property
    def tolerance(self) -> float:
        """The accepted difference."""

    @property
    def source(self) -> str:
        """Where it was published."""


def reference_line(reference: PublishedResult) -> str:
    """One line: our value, the published value, and whether they agree."""
    ours = "not measured" if reference.ours is None else text.format_decimals(reference.ours)
    verdict = {True: "within", False: "outside", None: "not comparable"}[reference.within]
    return (
        f"{reference.metric}: ours {ours}, published {text.format_decimals(reference.published)} "
        f"({verdict} ±{reference.tolerance:g}; {sanitize(reference.source)})"
    )


def print_evaluation(evaluation: RunEvaluation) -> None:
    """Print the result of `workbench evaluate`."""
    print_result(
        f"{evaluation.run}  step {evaluation.step}  {evaluation.split}  {_metrics_line(evaluation.metrics)}"
    )
    _print_classes(evaluation.per_class)
