"""Optimizers, the learning rate at every step, and which parameters learn."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from workbench.errors import BadInput
from workbench.trainsettings import Train

TRIANGLE_RISE = 0.23
TRIANGLE_START = 0.2
TRIANGLE_END = 0.07
"""Share of the rise, and what the peak rate is multiplied by at both ends: as airbench94 has them."""
ONE_CYCLE_RISE = 0.3
ONE_CYCLE_START = 25.0
ONE_CYCLE_END = 1e4
"""Share of the rise, and what the first and the last rate are divided by: as torch's OneCycleLR has them."""


def lr_at(step: int, train: Train, steps_per_epoch: int) -> float:
    """The learning rate of step `step` (counted from 0), as a function of nothing but the settings.

    Linear warm-up over `train.warmup` epochs, then the schedule over what is left; `one-cycle` (Smith & Topin,
    arXiv:1708.07120) rises over its warm-up, or 30 % of the run, and has no cycle of the momentum; `triangular`
    (Jordan, arXiv:2404.00498) rises in a line over its warm-up, or 23 %, and falls in one.
    """
    total = max(1, train.epochs * steps_per_epoch)
    warm = min(round(train.warmup * steps_per_epoch), total)
    if train.schedule == "one-cycle":
        return train.lr * _one_cycle(step, total, warm or ONE_CYCLE_RISE * total)
    if train.schedule == "triangular":
        return train.lr * _triangle(step, total, warm or TRIANGLE_RISE * total)
    if step < warm:
        return train.lr * (step + 1) / warm
    if train.schedule == "step":
        return train.lr * train.step_factor ** (step // steps_per_epoch // train.step_every)
    if train.schedule == "cosine":
        done = (step - warm) / max(1, total - warm)
        return train.lr * (1 + math.cos(math.pi * min(1.0, done))) / 2
    return train.lr


def _one_cycle(step: int, total: int, rise: float) -> float:
    """The part of the peak rate at `step`: a cosine from 1/25 to 1 at `rise`, then one down to nothing."""
    peak, last = max(rise - 1, 0.0), total - 1
    low, end = 1 / ONE_CYCLE_START, 1 / (ONE_CYCLE_START * ONE_CYCLE_END)
    if step < peak:
        return _between(low, 1.0, step / peak)
    return _between(1.0, end, min(1.0, (step - peak) / (last - peak)) if last > peak else 1.0)


def _triangle(step: int, total: int, rise: float) -> float:
    """The part of the peak rate at `step`: in a line from 0.2 to 1 at `rise`, then in one to 0.07."""
    if step < rise:
        return TRIANGLE_START + (1 - TRIANGLE_START) * step / rise
    return 1 + (TRIANGLE_END - 1) * min(1.0, (step - rise) / max(1.0, total - rise))


def _between(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def make_optimizer(module: nn.Module, train: Train, device: torch.device) -> Optimizer:
    """The optimizer that `train` names, over all of the module's parameters.

    Weight decay pulls on weights only: biases and the scales of norms (all parameters of one dimension or none)
    go without, as is usual. Kernels are fused where torch has them for the device. On CUDA it is `capturable`, and
    keeps its learning rate on the device, where a captured step reads it.
    """
    _spare_the_compiler()
    capturable = device.type == "cuda"
    groups = _groups(module, train)
    if not groups:
        raise BadInput("the model has no parameters: there is nothing to train")
    for group in groups:
        rate = train.lr * float(group["lr_scale"])
        group["lr"] = torch.tensor(rate, device=device) if capturable else rate
    fused = device.type in {"cpu", "cuda", "mps"}
    if train.optimizer == "sgd":
        return _sgd(groups, train, fused)
    if train.optimizer == "adam":
        return torch.optim.Adam(groups, fused=fused, capturable=capturable)
    if train.optimizer == "adamw":
        return torch.optim.AdamW(groups, fused=fused, capturable=capturable)
    return torch.optim.RMSprop(groups, momentum=train.momentum, foreach=True, capturable=capturable)


def _sgd(groups: list[dict[str, Any]], train: Train, fused: bool) -> Optimizer:
    """SGD whose momentum begins at zero, which is what torch's first step comes to.

    Set here, because the fused kernel can't step a group in which only some parameters have a momentum: those
    of a head that learned alone for a while.
    """
    nesterov = train.nesterov and train.momentum > 0
    optimizer = torch.optim.SGD(groups, train.lr, train.momentum, nesterov=nesterov, fused=fused)
    if train.momentum:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def load_memory(optimizer: Optimizer, state: Mapping[str, Any]) -> bool:
    """Take over what another one of the same kind remembers (its `state_dict`), with this one's hyperparameters.

    `False`, and nothing done, where its groups hold other numbers of parameters.
    """
    wanted = optimizer.param_groups
    if [len(g["params"]) for g in wanted] != [len(g["params"]) for g in state["param_groups"]]:
        return False
    # Before it is loaded: where it puts the counts of steps depends on `capturable` and `fused`.
    groups = [
        {**mine, "params": saved["params"]} for mine, saved in zip(wanted, state["param_groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": state["state"], "param_groups": groups})
    return True


def _spare_the_compiler() -> None:
    """Keep an optimizer's bookkeeping from importing torch's compiler, which nothing here needs: 3 seconds.

    The first call of these methods would ask it for a version of themselves that it does not touch; they are that.
    """
    for method in (Optimizer.add_param_group, Optimizer.state_dict, Optimizer.load_state_dict):
        plain = getattr(method, "__wrapped__", None)
        if plain is not None:
            vars(plain).setdefault("__dynamo_disable", plain)


def plain_step(optimizer: Optimizer) -> Callable[[], None]:
    """The optimizer's own step, without the profiler marks and hooks that torch puts around it.

    The same arithmetic; what is around it costs small models a noticeable part of a step, and imports the
    compiler too.
    """
    step = inspect.unwrap(type(optimizer).step)

    def run() -> None:
        with torch.no_grad():
            step(optimizer)

    return run


def _groups(module: nn.Module, train: Train) -> list[dict[str, Any]]:
    """Parameters by what is done with them: `weight_decay`, and what their rate is multiplied by, `lr_scale`."""
    decay, scale = train.weight_decay, train.bias_lr
    quick = [] if scale == 1 else _norm_biases(module)
    apart = {id(parameter) for parameter in quick}
    every = [p for p in module.parameters() if id(p) not in apart]
    groups = [
        # The decay is divided by what the rate is multiplied by: the pull stays what it is for the others.
        {"params": quick, "lr_scale": scale, "weight_decay": decay / scale},
        {"params": [p for p in every if p.ndim > 1 or not decay], "lr_scale": 1.0, "weight_decay": decay},
        {"params": [p for p in every if p.ndim <= 1 and decay], "lr_scale": 1.0, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _norm_biases(module: nn.Module) -> list[nn.Parameter]:
    norms = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)
    found = [part.bias for part in module.modules() if isinstance(part, norms) and part.bias is not None]
    return list(dict.fromkeys(found))


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Use this learning rate from the next step on; no device is waited for."""
    for group in optimizer.param_groups:
        rate = lr * group["lr_scale"]
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


class Backbone:
    """What of a module can be frozen: all that learns outside its head (parameter name prefixes)."""

    def __init__(self, module: nn.Module, head: Sequence[str]) -> None:
        self.module = module
        self.parameters = [
            p for n, p in module.named_parameters() if p.requires_grad and not _in_head(n, head)
        ]
        self.norms = [
            m for n, m in module.named_modules() if isinstance(m, _BatchNorm) and not _in_head(n, head)
        ]

    def train(self, frozen: bool) -> None:
        """Set the module to training, the backbone frozen or not; frozen batch norms keep their statistics.

        The optimizer passes over parameters without gradients, so those of a frozen backbone are dropped.
        """
        self.module.train()
        for parameter in self.parameters:
            parameter.requires_grad_(not frozen)
            if frozen:
                parameter.grad = None
        for norm in self.norms if frozen else ():
            norm.eval()


def _in_head(name: str, head: Sequence[str]) -> bool:
    return any(name == prefix or name.startswith(prefix.rstrip(".") + ".") for prefix in head)
