"""Muon for the matrices of a network, AdamW for all its other parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

from workbench.engine.torch_compat import unwrapped_step

ParameterGroup = dict[str, Any]
"""A group of an optimizer's parameters with its hyperparameters, as PyTorch has it."""
USUAL_MOMENTUM = 0.95


class MuonWithAdamW(Optimizer):
    """PyTorch's Muon for the groups that are marked as `matrix`, and its AdamW for the others, as one optimizer.

    The updates of Muon have the size of AdamW's (Liu et al., arXiv:2502.16982), so that one learning rate suits both.
    """

    def __init__(self, groups: list[ParameterGroup], momentum: float, *, fused: bool) -> None:
        matrices, others = ([g for g in groups if bool(g.get("matrix")) is kind] for kind in (True, False))
        self._parts: list[tuple[bool, Optimizer, Callable[[], None]]] = []
        if matrices:
            muon = torch.optim.Muon(
                matrices, momentum=momentum or USUAL_MOMENTUM, adjust_lr_fn="match_rms_adamw"
            )
            self._parts.append((True, muon, unwrapped_step(muon)))
        if others:
            adamw = torch.optim.AdamW(others, fused=fused)
            self._parts.append((False, adamw, unwrapped_step(adamw)))
        super().__init__([group for _, part, _ in self._parts for group in part.param_groups], {})

    def step(self, closure: Any = None) -> Any:
        """One step of both; a `closure` is not supported."""
        for is_matrix, part, step in self._parts:
            # They are replaced where a state is loaded.
            part.param_groups = [g for g in self.param_groups if bool(g.get("matrix")) is is_matrix]
            part.state = self.state
            step()
