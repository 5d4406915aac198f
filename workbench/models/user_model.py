"""Custom models from a Python file of the user: `./net.py:Net`. Executed in worker processes only."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from workbench.core.errors import UserError
from workbench.core.settings_schema import Section
from workbench.core.user_code import describe_user_code_error, load_object, user_code_file

_CLASSES = ("classes", "num_classes", "n_classes", "outputs", "num_outputs", "out_features")
_SHAPES = ("shape", "input_shape")
_CHANNELS = ("in_channels", "channels", "in_chans")


def build(name: str, shape: Sequence[int], outputs: int, options: Section) -> nn.Module:
    """The module that `FILE.py:NAME` creates, called with the arguments that its signature accepts.

    Parameters by name: `classes`, `num_classes` or `outputs` receive the number of outputs, `shape` or `input_shape`
    the shape of one input (C, H, W), `in_channels` its channels; `options` are passed by name. A first parameter of
    another name without a default receives the number of outputs. Raises `UserError`.
    """
    factory = load_object(name)
    try:
        arguments, keywords = _arguments(factory, shape, outputs, options)
        module = factory(*arguments, **keywords)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{name} failed: {describe_user_code_error(error, user_code_file(name))}") from None
    if not isinstance(module, nn.Module):
        raise UserError(f"{name} must return a torch.nn.Module, not {type(module).__name__}")
    return module


def _arguments(
    factory: Callable[..., Any], shape: Sequence[int], outputs: int, options: Section
) -> tuple[list[Any], dict[str, Any]]:
    parameters = _parameters(factory)
    known: dict[str, Any] = dict.fromkeys(_CLASSES, outputs)
    known |= dict.fromkeys(_SHAPES, tuple(shape)) | dict.fromkeys(_CHANNELS, shape[0] if shape else 1)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    names = [p.name for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
    for key in options:
        if key not in names and not takes_any:
            raise UserError(f"model.{key}: unknown parameter; the model accepts {', '.join(names) or 'none'}")
    keywords = {name: known[name] for name in names if name in known} | dict(options)
    return _positional_arguments(parameters, keywords, outputs), keywords


def _positional_arguments(
    parameters: list[inspect.Parameter], keywords: Mapping[str, Any], outputs: int
) -> list[Any]:
    """The number of outputs, for a required first parameter whose name is not known; else empty."""
    if not parameters or any(name in keywords for name in _CLASSES):
        return []
    first = parameters[0]
    positional = first.kind in {first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD}
    required = first.default is first.empty and first.name not in keywords
    return [outputs] if positional and required else []


def _parameters(factory: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        return []
