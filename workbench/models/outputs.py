"""The outputs of a model: what they are, probabilities, and additional metrics of the model itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

from workbench.models.module_state import trial_mode

_TOLERANCE = 1e-3
"""How far the sum of a row of probabilities may be from 1: they may be computed in half precision."""


class OutputKind(StrEnum):
    """What the outputs of a classifier are."""

    LOGITS = "logits"
    PROBABILITIES = "probabilities"
    """It ends in a softmax."""
    LOG_PROBABILITIES = "log-probabilities"
    """It ends in a log-softmax."""
    SIGMOID = "sigmoid"
    """It ends in a sigmoid: each output is from 0 to 1 by itself."""


_END_NODES = {
    "SoftmaxBackward": OutputKind.PROBABILITIES,
    "LogSoftmaxBackward": OutputKind.LOG_PROBABILITIES,
    "SigmoidBackward": OutputKind.SIGMOID,
}
_RESHAPING = (
    "View",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Alias",
    "Clone",
    "ToCopy",
    "Transpose",
    "T",
    "Permute",
)
_MAX_NODES = 8


def output_kind(module: nn.Module) -> OutputKind:
    """What the outputs of a classifier are, as `set_output_kind` noted; `mlp` says it by `gives_probabilities`."""
    noted = vars(module).get("workbench_output_kind")
    if isinstance(noted, OutputKind):
        return noted
    return OutputKind.PROBABILITIES if getattr(module, "gives_probabilities", False) else OutputKind.LOGITS


def set_output_kind(module: nn.Module, kind: OutputKind) -> None:
    """Note on a module what its outputs are, for `probabilities`."""
    vars(module)["workbench_output_kind"] = kind


def training_output_kind(module: nn.Module) -> OutputKind:
    """What its outputs are in training mode: models may return logits there, and probabilities in evaluation mode."""
    noted = vars(module).get("workbench_training_output_kind")
    return noted if isinstance(noted, OutputKind) else output_kind(module)


def set_training_output_kind(module: nn.Module, kind: OutputKind) -> None:
    """Note on a module what its outputs are in training mode, for `loss_outputs`."""
    vars(module)["workbench_training_output_kind"] = kind


def loss_outputs(module: nn.Module, outputs: Tensor) -> Tensor:
    """The outputs [N, classes] in evaluation mode as the loss takes those in training mode.

    Where a model returns logits in training mode only, these are log-probabilities, so that the losses of training and
    evaluation are the same. A model that always ends in a softmax has its outputs in both.
    """
    kind = output_kind(module)
    if kind is training_output_kind(module) or kind in {OutputKind.LOGITS, OutputKind.LOG_PROBABILITIES}:
        return outputs
    answers = probabilities(module, outputs)
    return answers.clamp_min(torch.finfo(answers.dtype).tiny).log()


def detect_output_kind(module: nn.Module, inputs: Tensor, *, training: bool = False) -> OutputKind:
    """What the outputs [N, classes] for model inputs are, by the last operation and by their values.

    Values alone show a softmax and a log-softmax; a sigmoid is recognized by the operation. Modes, buffers and random
    states are unchanged; errors of the module are passed on.
    """
    with trial_mode(module, training=training), torch.enable_grad():
        outputs = module(inputs.detach().clone().requires_grad_(inputs.is_floating_point()))
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or outputs.shape[1] < 2:
        return OutputKind.LOGITS
    kind = _end_node(outputs)
    values = outputs.detach().double()
    if kind is OutputKind.SIGMOID:
        return kind
    if bool((values >= 0).all()) and _sum_to_one(values):
        return OutputKind.PROBABILITIES
    if bool((values <= 0).all()) and _sum_to_one(values.exp()):
        return OutputKind.LOG_PROBABILITIES
    return OutputKind.LOGITS


def _sum_to_one(values: Tensor) -> bool:
    return bool(((values.sum(1) - 1).abs() <= _TOLERANCE).all())


def _end_node(outputs: Tensor) -> OutputKind | None:
    """The kind that the last operation other than a change of shape gives; `None` for all others."""
    node = outputs.grad_fn
    for _ in range(_MAX_NODES):
        if node is None:
            return None
        name = node.name().rstrip("0123456789")
        if name in _END_NODES:
            return _END_NODES[name]
        if not name.removesuffix("Backward").lstrip("_").startswith(_RESHAPING) or not node.next_functions:
            return None
        node = node.next_functions[0][0]
    return None


def probabilities(module: nn.Module, outputs: Tensor) -> Tensor:
    """Probabilities [N, classes] from the outputs [N, classes] of a classifier.

    The softmax of logits and of log-probabilities; the outputs themselves if they are probabilities, as a second
    softmax would flatten them; and the share of each output of a sigmoid in their sum.
    """
    kind = output_kind(module)
    if kind is OutputKind.PROBABILITIES:
        return outputs
    if kind is OutputKind.SIGMOID:
        return outputs / outputs.sum(1, keepdim=True).clamp_min(torch.finfo(outputs.dtype).tiny)
    return outputs.softmax(1)


def has_extra_metrics(module: nn.Module) -> bool:
    """Whether a module has additional metrics of its own."""
    return callable(_extra_metrics_method(module))


def extra_metrics(module: nn.Module) -> dict[str, float]:
    """Additional metrics by name, from the method `extra_metrics` (formerly `figures`) of a module that has one."""
    method = _extra_metrics_method(module)
    return dict(method()) if callable(method) else {}


def _extra_metrics_method(module: nn.Module) -> Any:
    return getattr(module, "extra_metrics", None) or getattr(module, "figures", None)
