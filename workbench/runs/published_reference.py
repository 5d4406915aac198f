"""A published result beside ours: by the metric's own definition, and as it was computed where it was published."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from workbench.config.experiment import PublishedCurve, Reference
from workbench.config.recipes import load_recipe
from workbench.core.errors import BadInput
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
"""How published accuracies were computed, by the names that recipes give these formulas."""


class CurveComparison(msgspec.Struct, frozen=True):
    """A published curve with ours at the same places."""

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
    """Its name where it was published."""
    published: float
    ours: float | None


class ExampleComparison(msgspec.Struct, frozen=True):
    """One of the first test samples: what it is, and what was predicted here and where it was published."""

    truth: str
    ours: str
    published: str | None


class ReferenceReport(msgspec.Struct, frozen=True, kw_only=True):
    """The published result of an experiment beside ours."""

    metric: str
    published: float
    tolerance: float
    source: str
    ours: float | None
    """`None` until it is measured."""
    within: bool | None
    """Whether what was computed the same way agrees within the tolerance."""
    formula: str | None
    """How the published one was computed, where that is not its own definition."""
    ours_by_formula: float | None
    note: str | None
    """What to know of the data before judging."""
    curves: tuple[CurveComparison, ...] | msgspec.UnsetType = msgspec.UNSET
    per_class: tuple[ClassComparison, ...] | msgspec.UnsetType = msgspec.UNSET
    examples: tuple[ExampleComparison, ...] | msgspec.UnsetType = msgspec.UNSET


def compare(view: RunView, final: EvaluationRow | None) -> ReferenceReport | None:
    """The published result beside ours, or `None` for an experiment that has none.

    `final`: the evaluation row that is the run's result. Where the published metric has a formula, it is
    `ours_by_formula` that is judged.
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
        return cut(ours)
    if formula == "cut-batches":
        right = [label == top for label, top in _predictions(view, final)]
        return cut_batches(right, view.experiment.train.batch_size)
    return None


def cut(accuracy: float) -> float:
    """An accuracy cut, not rounded, to whole per cents."""
    return math.floor(round(accuracy * 100, 9)) / 100


def cut_batches(right: Sequence[bool], size: int) -> float | None:
    """Accuracy of answers (right or wrong, in order) by the formula "cut-batches", in batches of `size`.

    It can be above 1. `None` for a single batch, of which the formula makes no number.
    """
    batches = [right[start : start + size] for start in range(0, len(right), size)]
    if len(batches) < 2:
        return None
    return sum(cut(sum(batch) / len(batch)) for batch in batches) / (len(batches) - 1)


def _predictions(view: RunView, final: EvaluationRow) -> list[tuple[int, int]]:
    """True and predicted class of every sample of an evaluation, in order; empty where they are not kept."""
    try:
        return [(one.label, one.top[0]) for one in read_predictions(view.folder, final.step, final.split)]
    except BadInput:
        return []


def _evaluation(view: RunView, row: EvaluationRow) -> EvaluationFile | None:
    return read_record(view.folder.evaluation(row.step, row.split), EvaluationFile)


def _curve(view: RunView, curve: PublishedCurve) -> CurveComparison:
    """A published curve with ours at the same places: the row of that epoch, or the last row up to that step."""
    name = curve.metric.rpartition(".")[2]
    places = curve.steps or tuple(range(1, len(curve.published) + 1))
    ours = _at_steps(view, name, places) if curve.steps else _at_epochs(view, name, places)
    by = "step" if curve.steps else "epoch"
    return CurveComparison(curve.metric, by, places, curve.published, tuple(ours))


def _at_epochs(view: RunView, name: str, epochs: Sequence[int]) -> list[float | None]:
    found = {row.epoch: row.metric(name) for row in view.epochs}
    return [found.get(epoch) for epoch in epochs]


def _at_steps(view: RunView, name: str, steps: Sequence[int]) -> list[float | None]:
    rows = list(zip(view.steps.step, view.steps.column(name), strict=False))
    reached = rows[-1][0] if rows else 0
    found = []
    for step in steps:
        before = [value for place, value in rows if place <= step]
        found.append(before[-1] if before and step <= reached + 1 else None)
    return found


def _per_class(
    view: RunView, final: EvaluationRow | None, reference: Reference
) -> tuple[ClassComparison, ...]:
    """Published accuracies class by class, under our names and theirs. They vary between seeds: none is judged."""
    found = _evaluation(view, final) if final and reference.per_class else None
    ours = {row.name: row.accuracy for row in found.per_class} if found else {}
    names = {alias: reference.aliases.get(alias, alias) for alias in reference.per_class}
    return tuple(
        ClassComparison(names[alias], alias, published, ours.get(names[alias]))
        for alias, published in reference.per_class.items()
    )


def _examples(
    view: RunView, final: EvaluationRow | None, reference: Reference
) -> tuple[ExampleComparison, ...]:
    """The first test samples: what they are, our predictions, and the published ones where it is the same class."""
    if not reference.examples or final is None:
        return ()
    classes, aliases = view.setup.classes if view.setup else (), reference.aliases
    found = []
    for (label, top), (truth, published) in zip(_predictions(view, final), reference.examples, strict=False):
        if max(label, top) < len(classes):
            same = aliases.get(truth, truth) == classes[label]
            theirs = aliases.get(published, published) if same else None
            found.append(ExampleComparison(classes[label], classes[top], theirs))
    return tuple(found)


def _data_note(view: RunView) -> str | None:
    """What to know of the data before judging: another dataset than the recipe's, or a part of it."""
    experiment = view.experiment
    if experiment is None:
        return None
    try:
        info = datasets.find(experiment.data.name)
        recipe = load_recipe(experiment.recipe) if experiment.recipe else {}
    except BadInput:
        return None
    published_for = recipe.get("data", {}).get("name")
    if published_for and published_for != info.name:
        return f"published for {published_for}; this is {info.name}"
    counts = view.setup.counts if view.setup else {}
    here = (sum(counts.get(split, 0) for split in ("train", "validation")), counts.get("test", 0))
    if info.kind != "published" or info.counts is None or not sum(here) or here == info.counts:
        return None
    return f"measured on {here[0]:,} + {here[1]:,} samples of {info.name}'s {info.counts[0]:,} + {info.counts[1]:,}"
