"""The explanation of a prediction as text: confidence, input and reliability."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from workbench.compute.protocol_records import ClassCount
from workbench.compute.protocol_responses import Explanation
from workbench.core.text import class_text, format_fraction, plural, sanitize
from workbench.inference.results import Prediction

CLOSE, CLEAR = 0.2, 0.6
"""Margins between the two most probable classes: ambiguous below `CLOSE`, clear from `CLEAR` on."""


def explanation_lines(explanation: Explanation) -> list[Content]:
    """Sections on the confidence of the prediction, the model's input, and the reliability for the class."""
    return [
        *_section("Confidence", _margin(explanation)),
        *_section("Model input", explanation.steps),
        *_section("Reliability", _reliability(explanation)),
    ]


def _section(heading: str, lines: Sequence[str]) -> list[Content]:
    return [
        Content.styled(heading, "bold $accent"),
        *(Content(f"  {sanitize(line)}") for line in lines),
        Content(""),
    ]


def _margin(explanation: Explanation) -> list[str]:
    first, second = explanation.first, explanation.second
    if second is None:
        return [_prediction(first)]
    margin = first.probability - second.probability
    verdict = "ambiguous" if margin < CLOSE else "clear" if margin >= CLEAR else "likely"
    return [
        f"{_prediction(first)}, then {_prediction(second)}",
        f"margin {format_fraction(margin)}: {verdict}",
    ]


def _prediction(prediction: Prediction) -> str:
    logit = "" if prediction.logit is None else f" (logit {prediction.logit:.2f})"
    return f"{class_text(prediction.label)} {format_fraction(prediction.probability)}{logit}"


def _reliability(explanation: Explanation) -> list[str]:
    metrics, label = explanation.reliability, class_text(explanation.first.label)
    if metrics is None and explanation.published_accuracy is not None:
        accuracy = format_fraction(explanation.published_accuracy)
        return [f"published top-1 accuracy on the ImageNet validation images: {accuracy}"]
    if metrics is None:
        return ["the model has not been evaluated yet"]
    return [
        *([f"{label}: {metrics.trained_on}"] if metrics.trained_on else []),
        f"recall of {label}: {format_fraction(metrics.recall)} of {plural(metrics.support, 'image')}",
        f"precision of {label}: {format_fraction(metrics.precision)}",
        f"false positives for {label}: {_counted(metrics.confused_with)}",
        f"{label} predicted as: {_counted(metrics.predicted_as)}",
        f"from the evaluation of epoch {metrics.epoch} on the {metrics.split} split",
    ]


def _counted(rows: Sequence[ClassCount]) -> str:
    return ", ".join(f"{row.class_name} ×{row.count}" for row in rows) or "none"
