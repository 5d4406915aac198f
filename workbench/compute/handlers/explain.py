"""What a prediction rests on: how clear it is, what the model was given, how reliable it is for that class."""

from __future__ import annotations

from pathlib import Path

from workbench.compute.handlers.loading import load_classifier, open_image
from workbench.compute.protocol import Explain, Explanation
from workbench.compute.protocol_records import ClassCount, ClassReliability, RunClassifier
from workbench.compute.task import Task
from workbench.core.errors import BadInput
from workbench.core.text import value_range
from workbench.inference.pipeline_steps import steps_of
from workbench.inference.results import PipelineStep
from workbench.models import catalog as models
from workbench.runs.confusions import confused
from workbench.runs.reader import RunReader
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import newest_evaluation, read_evaluation

MOST = 3
"""Classes that are named as mistakes, the most frequent first."""
AFTER = {"flattened", "logits", "probabilities"}
"""Steps that are not preprocessing."""


def explain(request: Explain, task: Task) -> Explanation:
    """The two likeliest classes of an image, the steps before the model, and how reliable the model is."""
    image = open_image(request.image, task)
    classifier = load_classifier(request.classifier, request.device, task)
    first, *others = classifier.top(image, 2)
    by = request.classifier
    of_run = isinstance(by, RunClassifier)
    steps = [_in_words(step) for step in steps_of(classifier, image)[0] if step.name not in AFTER]
    return Explanation(
        model=classifier.name,
        first=first,
        second=others[0] if others else None,
        steps=tuple(steps),
        reliability=_reliability(RunFolder(Path(by.run)), first.label)
        if isinstance(by, RunClassifier)
        else None,
        published_accuracy=None if of_run else _published_accuracy(classifier.name),
    )


def _in_words(step: PipelineStep) -> str:
    """`resized 256×256 RGB`, `normalised [3, 224, 224] -2.1…2.6`."""
    if step.kind == "picture":
        return f"{step.name} {'×'.join(map(str, step.shape))} {step.dtype}"
    return f"{step.name} {list(step.shape)} {value_range(step.low, step.high)}"


def _published_accuracy(name: str) -> float | None:
    try:
        accuracy = models.find(name).accuracy
    except BadInput:
        return None
    return None if accuracy is None else accuracy / 100


def _reliability(run: RunFolder, label: str) -> ClassReliability | None:
    """The run's newest evaluation of the class `label`; `None` where it has none."""
    reader = RunReader(run)
    try:
        found = read_evaluation(run, newest_evaluation(reader.read_all()))
    finally:
        reader.close()
    metrics = next((row for row in found.per_class if row.name == label), None) if found else None
    if found is None or metrics is None:
        return None
    errors = confused(found)
    return ClassReliability(
        split=found.split,
        epoch=found.weights_of_epoch,
        recall=metrics.accuracy,
        precision=metrics.precision,
        support=metrics.support,
        predicted_as=tuple(ClassCount(to, n) for true, to, n in errors if true == label)[:MOST],
        confused_with=tuple(ClassCount(true, n) for true, to, n in errors if to == label)[:MOST],
    )
