"""Somebody's own network from a file: `./net.py:Net`. Only workers run it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from workbench.core.errors import BadInput
from workbench.core.user_code import _file_of, load_object, where_it_failed

_CLASSES = ("classes", "num_classes", "n_classes", "outputs", "num_outputs", "out_features")
_SHAPES = ("shape", "input_shape")
_CHANNELS = ("in_channels", "channels", "in_chans")


def build(name: str, shape: Sequence[int], outputs: int, options: Mapping[str, Any]) -> nn.Module:
    """The module that `FILE.py:NAME` makes, called with what its signature takes. Raises `BadInput`.

    Parameters by name: `classes`, `num_classes` or `outputs` get the number of outputs; `shape` or
    `input_shape` the shape of one input (C, H, W); `in_channels` its channels; `options` go by their names. A
    first parameter of another name without a default gets the number of outputs.
    """
    factory = load_object(name)
    try:
        arguments, keywords = _arguments(factory, shape, outputs, options)
        module = factory(*arguments, **keywords)
    except BadInput:
        raise
    except (Exception, SystemExit) as error:
        raise BadInput(f"{name} failed: {where_it_failed(error, _file_of(name))}") from None
    if not isinstance(module, nn.Module):
        raise BadInput(f"{name} must make a torch.nn.Module, not {type(module).__name__}")
    return module


def _arguments(
    factory: Callable[..., Any], shape: Sequence[int], outputs: int, options: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    parameters = _parameters(factory)
    known: dict[str, Any] = dict.fromkeys(_CLASSES, outputs)
    known |= dict.fromkeys(_SHAPES, tuple(shape)) | dict.fromkeys(_CHANNELS, shape[0] if shape else 1)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    names = [p.name for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
    for key in options:
        if key not in names and not takes_any:
            raise BadInput(f"model.{key}: it takes no such parameter, only {', '.join(names) or 'none'}")
    keywords = {name: known[name] for name in names if name in known} | dict(options)
    return _first(parameters, keywords, outputs), keywords


def _first(parameters: list[inspect.Parameter], keywords: Mapping[str, Any], outputs: int) -> list[Any]:
    """The number of outputs for a first parameter that must be given and that no name explains."""
    if not parameters or any(name in keywords for name in _CLASSES):
        return []
    first = parameters[0]
    positional = first.kind in {first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD}
    needed = first.default is first.empty and first.name not in keywords
    return [outputs] if positional and needed else []


def _parameters(factory: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        return []
