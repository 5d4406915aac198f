"""What scripts pass to `log` and as their configuration, as plain values by name."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

ConfigValue = str | float | int | bool | None


def scalars(values: Mapping[str, object]) -> tuple[dict[str, float], list[str]]:
    """The numbers in `values` by name, nested ones as `outer/inner`, and the names of everything else.

    Numbers of Python, numpy and torch are taken, and tensors and arrays with one element.
    """
    numbers: dict[str, float] = {}
    others: list[str] = []
    for name, value in values.items():
        if type(value) is float or type(value) is int:
            numbers[name if type(name) is str else str(name)] = float(value)
        else:
            _add(str(name), value, numbers, others)
    return numbers, others


def _add(name: str, value: Any, numbers: dict[str, float], others: list[str]) -> None:
    if isinstance(value, Mapping):
        for inner, part in value.items():
            _add(f"{name}/{inner}", part, numbers, others)
        return
    try:
        item = value.item() if hasattr(value, "item") else value
        if isinstance(item, str | bytes | complex):
            raise TypeError(name)
        numbers[name] = float(item)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        others.append(name)


def config_values(config: object) -> dict[str, ConfigValue]:
    """A configuration as plain values: of a mapping, a namespace, a dataclass, or any object with attributes."""
    return dict(_flatten("", _as_mapping(config)))


def _as_mapping(config: object) -> Mapping[Any, Any]:
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return config
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return dataclasses.asdict(config)
    if isinstance(config, argparse.Namespace) or hasattr(config, "__dict__"):
        return vars(config)
    return {"config": config}


def _flatten(prefix: str, values: Mapping[Any, Any]) -> Iterator[tuple[str, ConfigValue]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
            yield from _flatten(f"{name}/", _as_mapping(value))
        elif value is None or isinstance(value, str | bool | int | float):
            yield name, value
        elif hasattr(value, "item") and getattr(value, "size", None) == 1:
            yield name, value.item()
        else:
            yield name, str(value)
