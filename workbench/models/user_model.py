"""Custom models from a Python file of the user: `./net.py:Net`. Executed in worker processes only."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from workbench.core.errors import UserError
from workbench.core.settings_schema import Section
from workbench.core.user_code import (
    describe_user_code_error,
    load_object,
    split_user_code_name,
    user_code_errors,
    user_code_file,
)
from workbench.core.user_code_outline import made_model_message
from workbench.models.module_state import trial_mode

WEIGHTS = "weights"
"""The option that names a file of weights, for all models."""
_CLASSES = ("classes", "num_classes", "n_classes", "outputs", "num_outputs", "out_features")
_SHAPES = ("shape", "input_shape")
_CHANNELS = ("in_channels", "channels", "in_chans")


def build(name: str, shape: Sequence[int], outputs: int, options: Section) -> tuple[nn.Module, str]:
    """The module that `FILE.py:NAME` creates, and the file of weights to load into it (empty for none).

    It is called with the arguments that its signature accepts.

    Parameters by name: `classes`, `num_classes` or `outputs` receive the number of outputs, `shape` or `input_shape`
    the shape of one input (C, H, W), `in_channels` its channels; `options` are passed by name. A first parameter of
    another name without a default receives the number of outputs. Raises `UserError`.
    """
    factory = load_object(name)
    if isinstance(factory, nn.Module):
        message = made_model_message(split_user_code_name(name)[1], type(factory).__name__)
        raise UserError(f"{user_code_file(name)}: {message}")
    options, file = _without_weights(factory, options)
    try:
        arguments, keywords = _arguments(factory, shape, outputs, options)
        module = factory(*arguments, **keywords)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{name} failed: {describe_user_code_error(error, user_code_file(name))}") from None
    if not isinstance(module, nn.Module):
        raise UserError(f"{name} must return a torch.nn.Module, not {type(module).__name__}")
    _initialize_lazy_layers(module, name, shape)
    return module, file


def _initialize_lazy_layers(module: nn.Module, name: str, shape: Sequence[int]) -> None:
    """Give lazy layers (`LazyLinear`) their parameters, which get their shapes from the first inputs.

    Weights can only be loaded into layers that have parameters. Raises `UserError` where the module fails.
    """
    tensors = [*module.parameters(), *module.buffers()]
    if not any(is_lazy(tensor) for tensor in tensors):
        return
    with trial_mode(module, training=False), torch.no_grad(), user_code_errors(name):
        module(torch.zeros(2, *shape, device=tensors[0].device))


def _without_weights(factory: Callable[..., Any], options: Section) -> tuple[Section, str]:
    """The options for `factory`, and the option `weights`, a file to load, unless it is a parameter of its own."""
    if WEIGHTS not in options or any(p.name == WEIGHTS for p in _parameters(factory)):
        return options, ""
    return {key: value for key, value in options.items() if key != WEIGHTS}, str(options[WEIGHTS])


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
