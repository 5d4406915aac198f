"""What is known of a run, told to a person: how far it is, what was changed, its figures, those of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench import text
from workbench.console import tell
from workbench.tables import print_table
from workbench.text import safe

CHANGES = 8
"""The newest changes that are told."""


def tell_result(document: dict[str, Any]) -> None:
    """A run's result for a person."""
    doing = f", {document['phase']}" if document["phase"] else ""
    tell(f"{document['name']} ({document['run']}): {document['status']}{doing}")
    tell(f"  {how_far(document)}")
    if document["now"] and (now := _now(document["now"])):
        tell(f"  now   {now}")
    _tell_changes(document["changes"])
    if document["reason"]:
        tell(f"  {document['reason']}")
    if written := "  ".join(filter(None, [", ".join(document["tags"]), document["notes"]])):
        tell(f"  {written}")
    if document["test"]:
        figures = "  ".join(
            f"{name} {value:.4f}" for name, value in document["test"].items() if value is not None
        )
        tell(f"  test  {figures}")
    reference = document["reference"] or {}
    if reference:
        _tell_reference(reference)
    if document["per_class"]:
        tell(
            f"  class by class, {document['per_class_split']} data after epoch {document['per_class_epoch']}"
        )
    _print_classes(document["per_class"] or [], reference.get("per_class"))
    for name, way in document["ways"].items():
        tell(f"  {name}  {way}")
    if document["system"]:
        tell(f"  {usage_line(document['system'])}")
    tell(f"  kept in {document['directory']}  ({text.duration(document['seconds']['total'])})")


def how_far(document: Mapping[str, Any]) -> str:
    """Epochs, steps and the best epoch of a run, with the time that is left."""
    total = document["steps_total"]
    parts = [
        f"epoch {document['epoch']}/{document['epochs_total']}",
        f"step {document['step']}{f'/{total}' if total else ''}",
    ]
    if best := document["best"]:
        parts.append(f"best {best['metric']} {text.fraction(best['value'])}@{best['epoch']}")
    if document["now"] and document["now"]["eta"] is not None:
        parts.append(f"ETA {text.duration(document['now']['eta'])}")
    return "  ".join(parts)


def _now(now: Mapping[str, Any]) -> str:
    """The newest figures of training; empty before the first."""
    rate = now["samples_per_second"]
    figures = {name: now[name] for name in ("lr", "loss", "accuracy")}
    parts = [f"{name} {value:.4g}" for name, value in figures.items() if value is not None]
    return "  ".join([*parts, *([f"{text.count(rate)} samples/s"] if rate else [])])


def _tell_changes(changes: Sequence[Mapping[str, Any]]) -> None:
    """What was changed on the way, the newest last."""
    if len(changes) > CHANGES:
        tell(f"  {len(changes) - CHANGES} changes before these")
    for change in changes[-CHANGES:]:
        tell(f"  step {change['step']}  {change['what']}")


def usage_line(system: dict[str, Any]) -> str:
    """What a run took of its machine, by its samples: means, and the most of memory."""
    parts = []
    if "cpu" in system:
        parts.append(f"{system['cpu']:.1f} cores busy")
    if "rss" in system:
        parts.append(f"{text.size(system['rss'])} memory")
    if "gpu_load" in system:
        parts.append(f"GPU {system['gpu_load']:.0%}")
    if "gpu_memory" in system:
        parts.append(f"{text.size(system['gpu_memory'])} of {text.size(system.get('gpu_total'))} GPU memory")
    return f"used  {', '.join(parts)} ({system['samples']} sample{'' if system['samples'] == 1 else 's'})"


def _tell_reference(reference: dict[str, Any]) -> None:
    """The published figures beside ours: the one that is judged, its curves, its first examples."""
    tell(f"  {reference_line(reference)}")
    if reference.get("formula"):
        ours = _figure(reference["ours_by_formula"])
        tell(f"  as published ({reference['formula']}): ours {ours}, published {reference['published']:.4f}")
    if note := reference.get("note"):
        tell(f"  {note}")
    for curve in reference.get("curves") or ():
        tell(f"  {curve['metric']} by {curve['by']}  ours      {'  '.join(map(_figure, curve['ours']))}")
        tell(
            f"  {' ' * len(curve['metric'] + curve['by'])}      published {'  '.join(map(_figure, curve['published']))}"
        )
    if examples := reference.get("examples"):
        said = ",  ".join(
            f"{e['truth']}: {e['ours']}" + (f" (published: {e['published']})" if e["published"] else "")
            for e in examples
        )
        tell(f"  first test examples  {said}")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _print_classes(rows: list[dict[str, Any]], published: Sequence[dict[str, Any]] | None = None) -> None:
    """Figures class by class; where some were `published`, those beside ours."""
    figures = {"accuracy (recall)": "accuracy", "precision": "precision", "f1": "f1"}
    theirs = {row["class"]: text.fraction(row["published"]) for row in published or ()}
    if 0 < len(rows) <= 30:
        print_table(
            ("  class", *figures, "support", *(["published"] if theirs else [])),
            [
                ("  " + safe(r["class"]), *(text.fraction(r[name]) for name in figures.values()), r["support"],
                 *([theirs.get(r["class"], "-")] if theirs else []))
                for r in rows
            ],
        )  # fmt: skip


def reference_line(reference: dict[str, Any]) -> str:
    """The published figure beside ours."""
    ours = "not measured" if reference["ours"] is None else _figure(reference["ours"])
    verdict = {True: "within", False: "outside", None: "to be held against"}[reference["within"]]
    return (
        f"{reference['metric']}: ours {ours}, published {reference['published']:.4f} "
        f"({verdict} ±{reference['tolerance']:g}; {safe(reference['source'])})"
    )


def tell_evaluation(document: dict[str, Any]) -> None:
    """A fresh evaluation of a run for a person."""
    figures = "  ".join(
        f"{name} {value:.4f}" for name, value in document["metrics"].items() if isinstance(value, float)
    )
    tell(f"{document['run']}  step {document['step']}  {document['split']}  {figures}")
    _print_classes(document["per_class"] or [])
