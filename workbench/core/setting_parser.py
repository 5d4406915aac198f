"""Parsing of settings that are text: `--set KEY=VALUE`, and values by the type of their setting."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args, get_origin

from workbench.core.errors import UserError
from workbench.core.parsing import parse_json


def parse_assignment(text: str) -> tuple[str, str]:
    """Key and value of `KEY=VALUE`. Raises `UserError`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set expects KEY=VALUE, not '{text}' (for example --set train.epochs=20)")
    return key.strip(), value


def parse_value(value: Any, target: Any) -> Any:
    """Text (`"3"`, `"1e-3"`, `"yes"`, `"crop,flip"`) as a value of the type `target` of a setting.

    Values that are not text, and text that can't be parsed, are returned unchanged; they are validated afterwards.
    """
    if not isinstance(value, str):
        return value
    if value in literal_values(target):
        return value
    kinds = _plain_types(target)
    if bool in kinds and value.lower() in {"yes", "true", "on", "no", "false", "off"}:
        return value.lower() in {"yes", "true", "on"}
    if tuple in kinds or list in kinds:
        return _parse_list(value, target)
    for kind in (int, float):
        if kind in kinds:
            try:
                number = kind(value)
            except ValueError:
                continue
            return number if abs(number) < math.inf else value  # isfinite() fails on an int beyond a float
    return value


def _parse_list(value: str, target: Any) -> Any:
    text = value.strip()
    if text.startswith("["):
        try:
            return parse_json(text)
        except ValueError:
            return value
    item = item_type(target)
    return [parse_value(part.strip(), item) for part in text.split(",") if part.strip()]


def _union_members(target: Any) -> list[Any]:
    """The members of a union, without `Annotated`; a list of one for any other type."""
    if hasattr(target, "__metadata__"):
        return _union_members(target.__origin__)
    if get_origin(target) in {Literal, tuple, list} or not get_args(target):
        return [target]
    return [member for argument in get_args(target) for member in _union_members(argument)]


def literal_values(target: Any) -> set[Any]:
    """The choices of a type that is, or contains, a `Literal`."""
    return {value for t in _union_members(target) if get_origin(t) is Literal for value in get_args(t)}


def _plain_types(target: Any) -> set[Any]:
    return {get_origin(t) or t for t in _union_members(target)}


def item_type(target: Any) -> Any:
    """The type of the items of a list."""
    return next((get_args(t)[0] for t in _union_members(target) if get_origin(t) in {tuple, list}), str)
