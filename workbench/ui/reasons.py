"""Why a model says what it says of a picture, in lines to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.content import Content

from workbench.text import fraction, safe

CLOSE, CLEAR = 0.2, 0.6
"""Margins between the two likeliest classes below which an answer is a close call, and from which it is clear."""


def reason_lines(found: Mapping[str, Any]) -> list[Content]:
    """The session's answer to `reason`: how clear, what the model was given, how often the class is right."""
    return [
        *_section("how clear", _margin(found)),
        *_section("what the model was given", found["steps"]),
        *_section("how far to trust it", _trust(found)),
    ]


def _section(head: str, lines: Sequence[str]) -> list[Content]:
    return [
        Content.styled(head, "bold $accent"),
        *(Content(f"  {safe(line)}") for line in lines),
        Content(""),
    ]


def _margin(found: Mapping[str, Any]) -> list[str]:
    first, second = found["first"], found["second"]
    said = f"{first['label']} {fraction(first['probability'])}{_logit(first)}"
    if second is None:
        return [said]
    margin = first["probability"] - second["probability"]
    word = "a close call" if margin < CLOSE else "clear" if margin >= CLEAR else "likely, not certain"
    return [
        f"{said}, then {second['label']} {fraction(second['probability'])}{_logit(second)}",
        f"margin {fraction(margin)}: {word}",
    ]


def _logit(one: Mapping[str, Any]) -> str:
    return "" if one.get("logit") is None else f" (logit {one['logit']:.2f})"


def _trust(found: Mapping[str, Any]) -> list[str]:
    measured, label = found["evaluation"], found["first"]["label"]
    if measured is None and found["published"] is not None:
        return [f"published: right on {fraction(found['published'])} of ImageNet's validation pictures"]
    if measured is None:
        return ["there is no evaluation of it yet"]
    row = measured["class"]
    return [
        f"of {row['support']} pictures of {label} it finds {fraction(row['accuracy'])} (recall)",
        f"where it says {label} it is right in {fraction(row['precision'])} (precision)",
        f"what it takes for {label} by mistake: {_counted(measured['mistaken'])}",
        f"what it takes {label} for: {_counted(measured['taken_for'])}",
        f"by its evaluation of epoch {measured['epoch']} on the {measured['split']} data",
    ]


def _counted(rows: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{row['class']} ×{row['count']}" for row in rows) or "nothing"
