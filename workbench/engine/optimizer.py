"""Optimizers, the learning rate at every step, and which parameters learn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from workbench.config.training_settings import Train
from workbench.core.errors import BadInput


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
