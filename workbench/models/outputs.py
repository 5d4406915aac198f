"""The outputs of a model: probabilities, and additional metrics of the model itself."""

from __future__ import annotations

from torch import Tensor, nn


def probabilities(module: nn.Module, outputs: Tensor) -> Tensor:
    """Probabilities [N, classes] from the outputs [N, classes] of a classifier.

    The softmax of the outputs, or the outputs themselves if the module ends in a softmax and has the attribute
    `gives_probabilities` set: a second softmax would flatten the probabilities.
    """
    return outputs if getattr(module, "gives_probabilities", False) else outputs.softmax(1)


def extra_metrics(module: nn.Module) -> dict[str, float]:
    """Additional metrics by name, from the method `extra_metrics` (formerly `figures`) of a module that has one."""
    method = getattr(module, "extra_metrics", None) or getattr(module, "figures", None)
    return dict(method()) if callable(method) else {}
