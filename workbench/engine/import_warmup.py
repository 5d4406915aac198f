"""Makes torch import before the first step what it would import only at one: upgrades can't break a run then."""

from __future__ import annotations

import io

import torch
from torch import nn

from workbench.config.training_settings import Train
from workbench.engine.device import Precision
from workbench.engine.optimizer import make_optimizer, plain_step


def rehearse(train: Train, precision: Precision) -> None:
    """One step, one checkpoint and one load of the smallest model, as the run will make them.

    Nothing is drawn from the random states.
    """
    module = nn.utils.skip_init(nn.Linear, 1, 1).to(precision.device)
    nn.init.zeros_(module.weight)
    optimizer, scaler = make_optimizer(module, train, precision.device), precision.scaler()
    with precision.autocast():
        loss = module(torch.zeros(2, 1, device=precision.device)).float().mean()
    if scaler is None:
        loss.backward()
        plain_step(optimizer)()
    else:
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    saved = io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    saved.seek(0)
    torch.load(saved, weights_only=True)
