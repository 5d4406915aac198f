"""The most probable classes."""

from __future__ import annotations

import torch
from torch import Tensor


def top_k(scores: Tensor, k: int) -> torch.return_types.topk:
    """The `k` highest of scores [N, classes], or all of fewer: `values` and `indices` [N, min(k, classes)].

    The highest come first.
    """
    return scores.topk(min(k, scores.shape[1]))
