"""The outputs of a model: probabilities, top-k classes, and additional metrics of the model itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def probabilities(module: nn.Module, outputs: Tensor) -> Tensor:
    """Probabilities [N, classes] from the outputs [N, classes] of a classifier.

    The softmax of the outputs, or the outputs themselves if the module ends in a softmax and has the attribute
    `gives_probabilities` set: a second softmax would flatten the probabilities.
    """
    return outputs if getattr(module, "gives_probabilities", False) else outputs.softmax(1)


def top_k(scores: Tensor, k: int) -> torch.return_types.topk:
    """The `k` highest of scores [N, classes], or all of fewer: `values` and `indices` [N, min(k, classes)].

    The highest come first.
    """
    return scores.topk(min(k, scores.shape[1]), dim=1)


def extra_metrics(module: nn.Module) -> dict[str, float]:
    """Additional metrics by name, from the method `extra_metrics` (formerly `figures`) of a module that has one."""
    method = getattr(module, "extra_metrics", None) or getattr(module, "figures", None)
    return dict(method()) if callable(method) else {}
