"""What a prediction rests on, in lines to read."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from workbench.compute.protocol import Explanation
from workbench.compute.protocol_records import ClassCount
from workbench.core.text import fraction, safe
from workbench.inference.results import Prediction

CLOSE, CLEAR = 0.2, 0.6
"""Margins between the two likeliest classes below which an answer is a close call, and from which it is clear."""


def reason_lines(explanation: Explanation) -> list[Content]:
    """How clear the prediction is, what the model was given, how often the class is right."""
    return [
        *_section("how clear", _margin(explanation)),
        *_section("what the model was given", explanation.steps),
        *_section("how far to trust it", _reliability(explanation)),
    ]


def _section(head: str, lines: Sequence[str]) -> list[Content]:
    return [
        Content.styled(head, "bold $accent"),
        *(Content(f"  {safe(line)}") for line in lines),
        Content(""),
    ]


def _margin(explanation: Explanation) -> list[str]:
    first, second = explanation.first, explanation.second
    if second is None:
        return [_prediction(first)]
    margin = first.probability - second.probability
    word = "a close call" if margin < CLOSE else "clear" if margin >= CLEAR else "likely, not certain"
    return [
        f"{_prediction(first)}, then {_prediction(second)}",
        f"margin {fraction(margin)}: {word}",
    ]


def _prediction(one: Prediction) -> str:
    logit = "" if one.logit is None else f" (logit {one.logit:.2f})"
    return f"{one.label} {fraction(one.probability)}{logit}"


def _reliability(explanation: Explanation) -> list[str]:
    measured, label = explanation.reliability, explanation.first.label
    if measured is None and explanation.published_accuracy is not None:
        return [
            f"published: right on {fraction(explanation.published_accuracy)} of ImageNet's validation pictures"
        ]
    if measured is None:
        return ["there is no evaluation of it yet"]
    return [
        f"of {measured.support} pictures of {label} it finds {fraction(measured.recall)} (recall)",
        f"where it says {label} it is right in {fraction(measured.precision)} (precision)",
        f"what it takes for {label} by mistake: {_counted(measured.confused_with)}",
        f"what it takes {label} for: {_counted(measured.predicted_as)}",
        f"by its evaluation of epoch {measured.epoch} on the {measured.split} data",
    ]


def _counted(rows: Sequence[ClassCount]) -> str:
    return ", ".join(f"{row.class_name} ×{row.count}" for row in rows) or "nothing"
