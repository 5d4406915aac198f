"""Why a model says what it says of a picture (`reason`): how clear it was, what it was given, how far to trust it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from workbench.errors import BadInput
from workbench.inference.classifier import Classifier
from workbench.inference.steps import Step, steps_of
from workbench.models import catalogue as models
from workbench.runs.layout import RunFolder
from workbench.runs.reader import RunReader
from workbench.runs.records import epoch_of
from workbench.runs.report import newest_evaluation, read_evaluation
from workbench.session.task import Task

MOST = 3
"""Classes that are named as mistakes, the most frequent first."""
AFTER = {"flattened", "logits", "probabilities"}
"""Steps that are no preprocessing."""


def answerer(
    picture: Callable[[Task], Image.Image], asked_for: Callable[[Task], Classifier]
) -> Callable[[Task], dict[str, Any]]:
    """The answer to `reason`, which takes what `classify` takes."""

    def answer(task: Task) -> dict[str, Any]:
        image, classifier = picture(task), asked_for(task)
        by = task.request.get("by") or {}
        first, *others = classifier.top(image, 2)
        return {
            "model": classifier.name,
            "first": {**first.to_dict(), "logit": first.logit},
            "second": {**others[0].to_dict(), "logit": others[0].logit} if others else None,
            "steps": [_words(step) for step in steps_of(classifier, image)[0] if step.name not in AFTER],
            "evaluation": _measured(RunFolder(Path(str(by["run"]))), first.label) if by.get("run") else None,
            "published": None if by.get("run") else _published(classifier.name),
        }

    return answer


def _words(step: Step) -> str:
    """`resized 256×256 RGB`, `normalised [3, 224, 224] -2.1…2.6`."""
    if step.kind == "picture":
        return f"{step.name} {'×'.join(map(str, step.shape))} {step.dtype}"
    return f"{step.name} {list(step.shape)} {step.low:.3g}…{step.high:.3g}"


def _published(name: str) -> float | None:
    """Top-1 accuracy on ImageNet, where it is published."""
    try:
        accuracy = models.find(name).accuracy
    except BadInput:
        return None
    return None if accuracy is None else accuracy / 100


def _measured(run: RunFolder, label: str) -> dict[str, Any] | None:
    """What the run's own evaluation says of the class `label`; `None` where it has none."""
    reader = RunReader(run)
    try:
        found = read_evaluation(run, newest_evaluation(reader.read_all()))
    finally:
        reader.close()
    rows = (found or {}).get("per_class") or []
    names = [str(row.get("class")) for row in rows]
    if found is None or label not in names:
        return None
    index, confusion = names.index(label), found.get("confusion") or []
    return {
        "split": found.get("split"),
        "epoch": epoch_of(found),
        "class": {key: rows[index].get(key) for key in ("accuracy", "precision", "support")},
        "taken_for": _most(((said, n) for true, said, n in confusion if true == index != said), names),
        "mistaken": _most(((true, n) for true, said, n in confusion if said == index != true), names),
    }


def _most(counts: Any, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """The classes with the highest counts, by name."""
    ranked = sorted(counts, key=lambda pair: -pair[1])[:MOST]
    return [{"class": names[index], "count": count} for index, count in ranked]
