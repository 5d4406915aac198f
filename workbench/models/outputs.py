"""What a model says, made fit to read: probabilities, and figures of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def probabilities(module: nn.Module, outputs: Tensor) -> Tensor:
    """The outputs [N, classes] of a classifier as probabilities.

    Their softmax; or they themselves, for a module that ends in one and says so by a true
    `gives_probabilities`: a second softmax would say that everything is about equally likely.
    """
    return outputs if getattr(module, "gives_probabilities", False) else outputs.softmax(1)


def top_k(scores: Tensor, k: int) -> torch.return_types.topk:
    """The `k` highest of scores [N, classes], or all of fewer: `values` and `indices` [N, min(k, classes)].

    The highest come first.
    """
    return scores.topk(min(k, scores.shape[1]), dim=1)


def figures(module: nn.Module) -> dict[str, float]:
    """The figures that a module has of its own (its method `figures`), by name; most have none."""
    own = getattr(module, "figures", None)
    return dict(own()) if callable(own) else {}
