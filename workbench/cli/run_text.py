"""Reports of runs for people: progress, changes, metrics, classes, and the published result beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from workbench.cli.console import tell
from workbench.cli.tables import print_table
from workbench.core import text
from workbench.core.text import safe
from workbench.runs.metrics import ClassMetrics
from workbench.runs.published_reference import ClassComparison, CurveComparison, ReferenceReport
from workbench.runs.resource_usage import UsageSummary
from workbench.runs.run_report import Change, LiveMetrics, RunEvaluation, RunReport

CHANGES = 8
"""The newest changes that are shown."""
MOST_CLASSES = 30
"""Classes up to which they are shown one by one."""


def tell_result(report: RunReport) -> None:
    """Print the report of a run."""
    phase = f", {report.phase}" if report.phase else ""
    tell(f"{report.name} ({report.run}): {report.status}{phase}")
    tell(f"  {progress_line(report)}")
    if report.now and (now := _live_line(report.now)):
        tell(f"  now   {now}")
    _tell_changes(report.changes)
    if report.reason:
        tell(f"  {report.reason}")
    if written := "  ".join(filter(None, [", ".join(report.tags), report.notes])):
        tell(f"  {written}")
    if report.test:
        tell(f"  test  {_metrics_line(report.test)}")
    if report.reference:
        _tell_reference(report.reference)
    _tell_classes(report)
    for name, way in report.execution.items():
        tell(f"  {name}  {way}")
    if report.system:
        tell(f"  {usage_line(report.system)}")
    tell(f"  kept in {report.directory}  ({text.duration(report.seconds.total)})")


def progress_line(report: RunReport) -> str:
    """Epochs, steps and the best epoch of a run, with the remaining time."""
    total = f"/{report.steps_total}" if report.steps_total else ""
    parts = [f"epoch {report.epoch}/{report.epochs_total or '?'}", f"step {report.step}{total}"]
    if best := report.best:
        parts.append(f"best {best.metric} {text.fraction(best.value)}@{best.epoch}")
    if report.now and report.now.eta is not None:
        parts.append(f"ETA {text.duration(report.now.eta)}")
    return "  ".join(parts)


def _live_line(now: LiveMetrics) -> str:
    """The newest metrics of training; empty before the first."""
    parts = [] if now.lr is None else [f"lr {text.learning_rate(now.lr)}"]
    metrics = {"loss": now.loss, "accuracy": now.accuracy}
    parts += [f"{name} {text.decimals(value)}" for name, value in metrics.items() if value is not None]
    if now.samples_per_second:
        parts.append(f"{text.count(now.samples_per_second)} samples/s")
    return "  ".join(parts)


def _tell_changes(changes: Sequence[Change]) -> None:
    """What was changed on the way, the newest last."""
    if len(changes) > CHANGES:
        tell(f"  {len(changes) - CHANGES} changes before these")
    for change in changes[-CHANGES:]:
        step = "-" if change.step is None else change.step
        tell(f"  step {step}  {change.what}")


def _metrics_line(metrics: Mapping[str, float | None]) -> str:
    return "  ".join(f"{name} {text.decimals(value)}" for name, value in metrics.items() if value is not None)


def usage_line(system: UsageSummary) -> str:
    """What a run used of its machine, by its samples: means, and peak memory."""
    parts = []
    if system.cpu is not None:
        parts.append(f"{system.cpu:.1f} cores busy")
    if system.rss is not None:
        parts.append(f"{text.size(system.rss)} memory")
    if system.gpu_load is not None:
        parts.append(f"GPU {system.gpu_load:.0%}")
    if system.gpu_memory is not None:
        parts.append(f"{text.size(system.gpu_memory)} of {text.size(system.gpu_total)} GPU memory")
    return f"used  {', '.join(parts)} ({system.samples} sample{'' if system.samples == 1 else 's'})"


def _tell_reference(reference: ReferenceReport) -> None:
    """The published result beside ours: the metric that is judged, its curves, its first examples."""
    tell(f"  {reference_line(reference)}")
    if reference.formula:
        ours = text.decimals(reference.ours_by_formula)
        tell(
            f"  as published ({reference.formula}): ours {ours}, published {text.decimals(reference.published)}"
        )
    if reference.note:
        tell(f"  {reference.note}")
    for curve in reference.curves or ():
        _tell_curve(curve)
    if reference.examples:
        examples = (
            f"{one.truth}: {one.ours}" + (f" (published: {one.published})" if one.published else "")
            for one in reference.examples
        )
        tell(f"  first test examples  {',  '.join(examples)}")


def _tell_curve(curve: CurveComparison) -> None:
    """A published curve under ours."""
    label = f"{curve.metric} by {curve.by}"
    tell(f"  {label}  ours      {'  '.join(map(text.decimals, curve.ours))}")
    tell(f"  {' ' * len(label)}  published {'  '.join(map(text.decimals, curve.published))}")


def _tell_classes(report: RunReport) -> None:
    if not report.per_class:
        return
    tell(f"  class by class, {report.per_class_split} data after epoch {report.per_class_epoch}")
    _print_classes(report.per_class, (report.reference.per_class or ()) if report.reference else ())


def _print_classes(rows: Sequence[ClassMetrics], published: Sequence[ClassComparison] = ()) -> None:
    """Metrics class by class; published accuracies beside ours, where there are some."""
    if not 0 < len(rows) <= MOST_CLASSES:
        return
    theirs = {row.name: text.fraction(row.published) for row in published}
    print_table(
        ("  class", "accuracy (recall)", "precision", "f1", "support", *(["published"] if theirs else [])),
        [
            ("  " + safe(row.name), *map(text.fraction, (row.accuracy, row.precision, row.f1)), row.support,
             *([theirs.get(row.name, "-")] if theirs else []))
            for row in rows
        ],
    )  # fmt: skip


class PublishedResult(Protocol):
    """A published metric beside ours, of a run or of a classified image."""

    @property
    def metric(self) -> str:
        """Its name."""

    @property
    def published(self) -> float:
        """Its published value."""

    @property
    def ours(self) -> float | None:
        """Our value; `None` until it is measured."""

    @property
    def within(self) -> bool | None:
        """Whether they agree within the tolerance; `None` where that can't be judged."""

    @property
    def tolerance(self) -> float:
        """The accepted difference."""

    @property
    def source(self) -> str:
        """Where it was published."""


def reference_line(reference: PublishedResult) -> str:
    """The published metric beside ours."""
    ours = "not measured" if reference.ours is None else text.decimals(reference.ours)
    verdict = {True: "within", False: "outside", None: "to compare with"}[reference.within]
    return (
        f"{reference.metric}: ours {ours}, published {text.decimals(reference.published)} "
        f"({verdict} ±{reference.tolerance:g}; {safe(reference.source)})"
    )


def tell_evaluation(evaluation: RunEvaluation) -> None:
    """Print a fresh evaluation of a run."""
    tell(f"{evaluation.run}  step {evaluation.step}  {evaluation.split}  {_metrics_line(evaluation.metrics)}")
    _print_classes(evaluation.per_class)
