"""Explains a prediction: its margin, the model's input, and how reliable the model is for the class."""

from __future__ import annotations

from pathlib import Path

from workbench.compute.handlers.loading import load_classifier_for, load_image
from workbench.compute.protocol import Explain
from workbench.compute.protocol_records import ClassCount, ClassReliability, RunClassifier
from workbench.compute.protocol_responses import Explanation
from workbench.compute.task import Task
from workbench.config.data_summary import balance_hint, class_support, is_rare
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.core.text import format_range
from workbench.inference.pipeline_steps import classifier_steps
from workbench.inference.results import PipelineStep
from workbench.models import catalog as models
from workbench.runs.confusions import confused_pairs
from workbench.runs.reader import RunView, read_view
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import newest_evaluation, read_evaluation

MAX_CONFUSIONS = 3
"""Confused classes that are listed, the most frequent first."""
OUTPUT_STEPS = {"flattened", "logits", "probabilities"}
"""Steps after the preprocessing."""


def explain(request: Explain, task: Task) -> Explanation:
    """The two most probable classes, the preprocessing steps, and the reliability of the model."""
    image = load_image(request.image, task)
    classifier = load_classifier_for(request.image, request.classifier, request.device, task)
    first, *others = classifier.predict_image(image, 2)
    ref = request.classifier
    run = RunFolder(Path(ref.run)) if isinstance(ref, RunClassifier) else None
    steps = [
        _format_step(step) for step in classifier_steps(classifier, image)[0] if step.name not in OUTPUT_STEPS
    ]
    return Explanation(
        model=classifier.name,
        first=first,
        second=others[0] if others else None,
        steps=tuple(steps),
        reliability=_reliability(run, first.label) if run else None,
        published_accuracy=None if run else _published_accuracy(classifier.name),
    )


def _format_step(step: PipelineStep) -> str:
    """`resized 256×256 RGB`, `normalised [3, 224, 224] -2.1 to 2.6`."""
    if step.kind == "image":
        return f"{step.name} {'×'.join(map(str, step.shape))} {step.dtype}"
    return f"{step.name} {list(step.shape)} {format_range(step.low, step.high)}"


def _published_accuracy(name: str) -> float | None:
    try:
        accuracy = models.find(name).accuracy
    except UserError:
        return None
    return None if accuracy is None else accuracy / 100


def _reliability(run: RunFolder, label: str) -> ClassReliability | None:
    """The metrics of class `label` in the run's newest evaluation; `None` if there is none."""
    view = read_view(run)
    evaluation = read_evaluation(run, newest_evaluation(view))
    metrics = next((row for row in evaluation.per_class if row.name == label), None) if evaluation else None
    if evaluation is None or metrics is None:
        return None
    errors = confused_pairs(evaluation)
    return ClassReliability(
        split=evaluation.split,
        epoch=evaluation.weights_of_epoch,
        recall=metrics.accuracy,
        precision=metrics.precision,
        support=metrics.support,
        predicted_as=tuple(ClassCount(to, n) for true, to, n in errors if true == label)[:MAX_CONFUSIONS],
        trained_on=_trained_on(view, label),
        confused_with=tuple(ClassCount(true, n) for true, to, n in errors if to == label)[:MAX_CONFUSIONS],
    )


def _trained_on(view: RunView, label: str) -> str:
    """How many samples of class `label` the run was trained and validated on."""
    setup, train = view.setup, view.experiment.train if view.experiment else TrainingSettings()
    if setup is None or label not in setup.classes or "train" not in setup.class_counts:
        return ""
    index = setup.classes.index(label)
    hint = balance_hint(train) if is_rare(setup.class_counts["train"], index) else ""
    return class_support(index, setup.class_counts) + hint
