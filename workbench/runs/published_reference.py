"""Comparison of a run with a published result: by the metric's definition, and by the formula of the publication."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from workbench.config.experiment import PublishedCurve, Reference
from workbench.config.recipes import load_recipe
from workbench.core.errors import UserError
from workbench.datasets import catalog as datasets
from workbench.io.record_codec import read_record
from workbench.runs.metrics import EvaluationFile, EvaluationRow
from workbench.runs.predictions import read_predictions
from workbench.runs.reader import RunView

FORMULAS = {
    "cut": "truncated to whole percents",
    "cut-batches": (
        "the sum over batches of their accuracies, each truncated to whole percents, divided by one batch too few"
    ),
}
"""How published accuracies were computed, by the name of the formula in recipes."""


class CurveComparison(msgspec.Struct, frozen=True):
    """A published curve and ours at the same steps or epochs."""

    metric: str
    by: str
    """`step` or `epoch`."""
    at: tuple[int, ...]
    published: tuple[float, ...]
    ours: tuple[float | None, ...]


class ClassComparison(msgspec.Struct, frozen=True):
    """The accuracy of one class, published and ours."""

    name: str = msgspec.field(name="class")
    alias: str
    """The published class name."""
    published: float
    ours: float | None


class ExampleComparison(msgspec.Struct, frozen=True):
    """One of the first test samples: its label, our prediction and the published one."""

    truth: str
    ours: str
    published: str | None


class ReferenceReport(msgspec.Struct, frozen=True, kw_only=True):
    """The published result of an experiment compared with ours."""

    metric: str
    published: float
    tolerance: float
    source: str
    ours: float | None
    """`None` until it is measured."""
    within: bool | None
    """Whether our value, computed by the same formula, is within the tolerance."""
    formula: str | None
    """How the published value was computed, if not by the metric's definition."""
    ours_by_formula: float | None
    note: str | None
    """How the data differs from the published experiment's."""
    curves: tuple[CurveComparison, ...] | msgspec.UnsetType = msgspec.UNSET
    per_class: tuple[ClassComparison, ...] | msgspec.UnsetType = msgspec.UNSET
    examples: tuple[ExampleComparison, ...] | msgspec.UnsetType = msgspec.UNSET


def compare_to_reference(view: RunView, final: EvaluationRow | None) -> ReferenceReport | None:
    """The comparison with the published result; `None` for an experiment without one.

    `final`: the evaluation row that is the result of the run. Where the published value has a formula, `within` is
    decided by `ours_by_formula`.
    """
    reference = view.experiment.reference if view.experiment else None
    if reference is None:
        return None
    ours = None if final is None else final.metric(reference.metric.rpartition(".")[2])
    by_formula = _by_formula(view, final, reference.formula, ours)
    judged = by_formula if reference.formula else ours
    return ReferenceReport(
        metric=reference.metric,
        published=reference.published,
        tolerance=reference.tolerance,
        source=reference.source,
        ours=ours,
        within=None if judged is None else abs(judged - reference.published) <= reference.tolerance,
        formula=FORMULAS.get(reference.formula),
        ours_by_formula=by_formula,
        note=_data_note(view),
        curves=tuple(_curve(view, curve) for curve in reference.curves) or msgspec.UNSET,
        per_class=_per_class(view, final, reference) or msgspec.UNSET,
        examples=_examples(view, final, reference) or msgspec.UNSET,
    )


def _by_formula(view: RunView, final: EvaluationRow | None, formula: str, ours: float | None) -> float | None:
    if final is None or ours is None or view.experiment is None:
        return None
    if formula == "cut":
        return floor_percent(ours)
    if formula == "cut-batches":
        correct = [label == top for label, top in _predictions(view, final)]
        return floor_percent_batches(correct, view.experiment.train.batch_size)
    return None


def floor_percent(accuracy: float) -> float:
    """An accuracy (0 to 1) truncated, not rounded, to whole percents."""
    return math.floor(round(accuracy * 100, 9)) / 100


def floor_percent_batches(correct: Sequence[bool], size: int) -> float | None:
    """Accuracy by the formula "cut-batches", in batches of `size` samples; it can exceed 1.

    `correct`: whether each prediction is correct, in sample order. `None` for a single batch: the formula divides by
    the number of batches minus one.
    """
    batches = [correct[start : start + size] for start in range(0, len(correct), size)]
    if len(batches) < 2:
        return None
    return sum(floor_percent(sum(batch) / len(batch)) for batch in batches) / (len(batches) - 1)


def _predictions(view: RunView, final: EvaluationRow) -> list[tuple[int, int]]:
    """True and predicted class of every sample of an evaluation, in order; empty where they are not stored."""
    try:
        return [(row.label, row.top[0]) for row in read_predictions(view.folder, final.step, final.split)]
    except UserError:
        return []


def _evaluation(view: RunView, row: EvaluationRow) -> EvaluationFile | None:
    return read_record(view.folder.evaluation(row.step, row.split), EvaluationFile)


def _curve(view: RunView, curve: PublishedCurve) -> CurveComparison:
    """A published curve with ours: the row of each epoch, or the last row up to each step."""
    name = curve.metric.rpartition(".")[2]
    positions = curve.steps or tuple(range(1, len(curve.published) + 1))
    ours = _at_steps(view, name, positions) if curve.steps else _at_epochs(view, name, positions)
    by = "step" if curve.steps else "epoch"
    return CurveComparison(curve.metric, by, positions, curve.published, tuple(ours))


def _at_epochs(view: RunView, name: str, epochs: Sequence[int]) -> list[float | None]:
    values = {row.epoch: row.metric(name) for row in view.epochs}
    return [values.get(epoch) for epoch in epochs]


def _at_steps(view: RunView, name: str, steps: Sequence[int]) -> list[float | None]:
    rows = list(zip(view.steps.step, view.steps.column(name), strict=False))
    reached = rows[-1][0] if rows else 0
    values = []
    for step in steps:
        before = [value for row_step, value in rows if row_step <= step]
        values.append(before[-1] if before and step <= reached + 1 else None)
    return values


def _per_class(
    view: RunView, final: EvaluationRow | None, reference: Reference
) -> tuple[ClassComparison, ...]:
    """Published and our accuracy of each class. There is no verdict: they vary between seeds."""
    evaluation = _evaluation(view, final) if final and reference.per_class else None
    ours = {row.name: row.accuracy for row in evaluation.per_class} if evaluation else {}
    names = {alias: reference.aliases.get(alias, alias) for alias in reference.per_class}
    return tuple(
        ClassComparison(names[alias], alias, published, ours.get(names[alias]))
        for alias, published in reference.per_class.items()
    )


def _examples(
    view: RunView, final: EvaluationRow | None, reference: Reference
) -> tuple[ExampleComparison, ...]:
    """The first test samples: labels, our predictions, and published predictions where the labels are the same."""
    if not reference.examples or final is None:
        return ()
    classes, aliases = view.setup.classes if view.setup else (), reference.aliases
    examples = []
    for (label, top), (truth, published) in zip(_predictions(view, final), reference.examples, strict=False):
        if max(label, top) < len(classes):
            same_label = aliases.get(truth, truth) == classes[label]
            published_prediction = aliases.get(published, published) if same_label else None
            examples.append(ExampleComparison(classes[label], classes[top], published_prediction))
    return tuple(examples)


def _data_note(view: RunView) -> str | None:
    """How the data differs from the recipe's: another dataset, or a subset of it; `None` where it does not."""
    experiment = view.experiment
    if experiment is None:
        return None
    try:
        info = datasets.find(experiment.data.name)
        recipe = load_recipe(experiment.recipe) if experiment.recipe else {}
    except UserError:
        return None
    published_for = recipe.get("data", {}).get("name")
    if published_for and published_for != info.name:
        return f"published for {published_for}; this is {info.name}"
    counts = view.setup.counts if view.setup else {}
    ours = (sum(counts.get(split, 0) for split in ("train", "validation")), counts.get("test", 0))
    published = datasets.published_counts(info, experiment.data.options)
    if info.kind != "published" or published is None or not sum(ours) or ours == published:
        return None
    return (
        f"measured on {ours[0]:,} + {ours[1]:,} samples of {info.name}'s {published[0]:,} + {published[1]:,}"
    )
