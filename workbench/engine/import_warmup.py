"""Triggers torch's lazy imports before the first step, so that a package upgrade can't break a run in progress."""

from __future__ import annotations

import importlib
import io

import torch
from torch import nn

from workbench.config.training_settings import TrainingSettings
from workbench.engine.device import Precision
from workbench.engine.optimizer import make_optimizer
from workbench.engine.torch_compat import unwrapped_step


def warm_up_imports(train: TrainingSettings, precision: Precision, *, processes: int = 1) -> None:
    """Make one step, one checkpoint and one load with a minimal model and the run's own settings.

    No random generator is advanced. With several processes, also import what DistributedDataParallel needs.
    """
    if processes > 1:
        importlib.import_module("torch._dynamo")
    module = nn.utils.skip_init(nn.Linear, 1, 1).to(precision.device)
    nn.init.zeros_(module.weight)
    optimizer, scaler = make_optimizer(module, train, precision.device), precision.scaler()
    with precision.autocast():
        loss = module(torch.zeros(2, 1, device=precision.device)).float().mean()
    if scaler is None:
        loss.backward()
        unwrapped_step(optimizer)()
    else:
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    saved = io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    saved.seek(0)
    torch.load(saved, weights_only=True)
