"""A published result beside ours: by the figure's own definition, and as it was computed where it was published."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.datasets import catalogue as datasets
from workbench.errors import BadInput
from workbench.io.atomic import read_json
from workbench.recipes import load_recipe
from workbench.runs.reader import RunView
from workbench.runs.records import number

FORMULAS = {
    "cut": "cut to whole per cents",
    "cut-batches": (
        "the sum over batches of their accuracies, each cut to whole per cents, divided by one batch too few"
    ),
}
"""The ways in which published accuracies were computed, by the names that recipes call them."""


def compare(view: RunView, final: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The published figures beside ours (`None` until measured), or `None` for an experiment that has none.

    `final`: the evaluation row that is the run's result. `within` holds what was computed alike against each
    other: where the published figure has a formula, it is `ours_by_formula` that is judged.
    """
    wanted = view.experiment.get("reference")
    if not wanted:
        return None
    ours = None if final is None else number(final.get(str(wanted["metric"]).rpartition(".")[2]))
    formula = str(wanted.get("formula") or "")
    alike = by_formula = _by_formula(view, final, formula, ours)
    if formula not in FORMULAS:
        alike = ours
    compared = {
        **{name: wanted[name] for name in ("metric", "published", "tolerance", "source")},
        "ours": ours,
        "within": None if alike is None else abs(alike - wanted["published"]) <= wanted["tolerance"],
        "formula": FORMULAS.get(formula),
        "ours_by_formula": by_formula,
        "note": _data_note(view),
        "curves": [_curve(view, curve) for curve in wanted.get("curves") or ()],
        "per_class": _per_class(view, final, wanted),
        "examples": _examples(view, final, wanted),
    }
    return {name: value for name, value in compared.items() if value != []}


def _by_formula(
    view: RunView, final: Mapping[str, Any] | None, formula: str, ours: float | None
) -> float | None:
    if final is None or ours is None:
        return None
    if formula == "cut":
        return cut(ours)
    if formula == "cut-batches":
        size = (view.experiment.get("train") or {}).get("batch_size") or 1
        return cut_batches([label == top for label, top in _answers(view, final)], int(size))
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


def _answers(view: RunView, final: Mapping[str, Any]) -> list[tuple[int, int]]:
    """True class and likeliest class of every example of an evaluation, in order; empty where it can't be read."""
    described = _evaluation(view, final)
    records = described.get("records") or {}
    names = [name for name, _ in records.get("fields") or ()]
    if names[:3] != ["index", "label", "top"]:
        return []
    try:
        content = (view.folder.evaluations / str(described["records"]["file"])).read_bytes()
        return [(row[1], row[2]) for row in struct.iter_unpack(records["struct"], content)]
    except (OSError, struct.error):
        return []


def _evaluation(view: RunView, row: Mapping[str, Any]) -> dict[str, Any]:
    return read_json(view.folder.evaluations / f"step-{row.get('step')}-{row.get('split')}.json") or {}


def _curve(view: RunView, curve: Mapping[str, Any]) -> dict[str, Any]:
    """A published curve with ours at the same places: the row of that epoch, or the last row up to that step."""
    name = str(curve["metric"]).rpartition(".")[2]
    steps = list(curve.get("steps") or ())
    places = steps or list(range(1, len(curve["published"]) + 1))
    ours = _at_steps(view, name, steps) if steps else _at_epochs(view, name, places)
    return {
        "metric": curve["metric"],
        "by": "step" if steps else "epoch",
        "at": places,
        "published": list(curve["published"]),
        "ours": ours,
    }


def _at_epochs(view: RunView, name: str, epochs: Sequence[int]) -> list[float | None]:
    found = {row.get("epoch"): number(row.get(name)) for row in view.epochs}
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
    view: RunView, final: Mapping[str, Any] | None, wanted: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Published accuracies class by class, under our names and theirs. They vary between seeds: none is judged."""
    published: Mapping[str, float] = wanted.get("per_class") or {}
    if not published:
        return []
    rows = _evaluation(view, final).get("per_class") or [] if final else []
    ours = {row["class"]: row["accuracy"] for row in rows}
    aliases = wanted.get("aliases") or {}
    return [
        {"class": aliases.get(name, name), "alias": name, "published": value,
         "ours": ours.get(aliases.get(name, name))}
        for name, value in published.items()
    ]  # fmt: skip


def _examples(
    view: RunView, final: Mapping[str, Any] | None, wanted: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The first test examples: what they are, what ours says, and what was published where it is the same kind."""
    theirs = wanted.get("examples") or ()
    if not theirs or final is None:
        return []
    classes = (view.setup or {}).get("classes") or []
    aliases = wanted.get("aliases") or {}
    found = []
    for (label, top), (truth, said) in zip(_answers(view, final), theirs, strict=False):
        if max(label, top) < len(classes):
            same = aliases.get(truth, truth) == classes[label]
            said_here = aliases.get(said, said) if same else None
            found.append({"truth": classes[label], "ours": classes[top], "published": said_here})
    return found


def _data_note(view: RunView) -> str | None:
    """What to know of the data before judging: another dataset than the recipe's, or a part of it."""
    data, counts = view.experiment.get("data") or {}, (view.setup or {}).get("counts") or {}
    recipe = view.experiment.get("recipe")
    try:
        info = datasets.find(str(data.get("name")))
        theirs = load_recipe(str(recipe)).get("data", {}).get("name") if recipe else None
    except BadInput:
        return None
    if theirs and theirs != info.name:
        return f"published for {theirs}; this is {info.name}"
    here = (sum(counts.get(split, 0) for split in ("train", "validation")), counts.get("test", 0))
    if info.kind != "published" or info.counts is None or not sum(here) or here == info.counts:
        return None
    return f"measured on {here[0]:,} + {here[1]:,} examples of {info.name}'s {info.counts[0]:,} + {info.counts[1]:,}"
