"""Optimizers: their parameter groups, their learning rate, and the restoration of their state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.engine.muon import MuonWithAdamW, ParameterGroup
from workbench.engine.sharded_tensors import is_sharded, shard_like
from workbench.engine.torch_compat import avoid_dynamo_import, is_batch_norm
from workbench.models.stages import in_head, stages_of

NOT_CAPTURABLE = ("adagrad", "muon")
"""Optimizers whose steps can't be captured as a CUDA graph: PyTorch's read the learning rate on the host."""


def make_optimizer(
    module: nn.Module, train: TrainingSettings, device: torch.device, head: Sequence[str] = ()
) -> Optimizer:
    """The optimizer `train.optimizer` over all parameters of `module`, whose head has the name prefixes `head`.

    Weight decay applies to weights only, not to biases and norm scales (parameters with fewer than two dimensions),
    unless `train.decay_all` is set. Fused kernels are used where torch has them for the device. On CUDA the optimizer
    is `capturable`, where it can be, and keeps its learning rate on the device, where a captured step reads it; not for
    a module that is sharded over processes, whose steps are not captured. Raises `UserError` for a model without
    parameters.
    """
    avoid_dynamo_import()
    sharded = is_sharded(module)
    capturable = device.type == "cuda" and not sharded and train.optimizer not in NOT_CAPTURABLE
    groups = _parameter_groups(module, train, head)
    if not groups:
        raise UserError("the model has no parameters to train")
    for group in groups:
        rate = train.lr * float(group["lr_scale"])
        group["lr"] = torch.tensor(rate, device=device) if capturable else rate
    fused = device.type in {"cpu", "cuda", "mps"}
    if train.optimizer == "sgd":
        return _sgd(groups, train, fused and not sharded)  # torch has no fused SGD for sharded parameters
    if train.optimizer == "adam":
        return torch.optim.Adam(groups, fused=fused, capturable=capturable)
    if train.optimizer == "adamw":
        return torch.optim.AdamW(groups, fused=fused, capturable=capturable)
    if train.optimizer == "nadam":
        return _nadam(groups, capturable)
    if train.optimizer == "radam":
        return torch.optim.RAdam(groups, foreach=True, capturable=capturable)
    if train.optimizer == "adagrad":
        return torch.optim.Adagrad(groups, foreach=True)
    if train.optimizer == "muon":
        return MuonWithAdamW(groups, train.momentum, fused=fused)
    return torch.optim.RMSprop(groups, momentum=train.momentum, foreach=True, capturable=capturable)


def _sgd(groups: list[ParameterGroup], train: TrainingSettings, fused: bool) -> Optimizer:
    """SGD with momentum buffers that start at zero, which is equivalent to torch's first step.

    They are created here because the fused kernel can't step a group in which only some parameters have a momentum
    buffer, as after epochs in which only the head was trained.
    """
    nesterov = train.nesterov and train.momentum > 0
    optimizer = torch.optim.SGD(
        groups, train.lr, train.momentum, nesterov=nesterov, fused=fused, foreach=not fused
    )
    if train.momentum:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _nadam(groups: list[ParameterGroup], capturable: bool) -> Optimizer:
    """NAdam with the state that it would create at its first step.

    That does not begin with zeros only, as a state has to that is created while a step is captured or timed.
    """
    optimizer = torch.optim.NAdam(groups, foreach=True, capturable=capturable)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            device = parameter.device if capturable else "cpu"
            optimizer.state[parameter] |= {
                "step": torch.zeros((), device=device),
                "mu_product": torch.ones((), device=device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
    return optimizer


def load_optimizer_state(optimizer: Optimizer, state: Mapping[str, Any]) -> bool:
    """Load the state of another optimizer of the same kind (its `state_dict`), but keep this one's hyperparameters.

    `False`, with nothing done, where the parameter groups differ in size.
    """
    groups_here = optimizer.param_groups
    if [len(g["params"]) for g in groups_here] != [len(g["params"]) for g in state["param_groups"]]:
        return False
    # Hyperparameters are replaced before loading: `capturable` and `fused` decide on which device step counts go.
    groups = [
        {**mine, "params": saved["params"]}
        for mine, saved in zip(groups_here, state["param_groups"], strict=True)
    ]
    parameters = {
        index: parameter
        for mine, saved in zip(groups_here, state["param_groups"], strict=True)
        for parameter, index in zip(mine["params"], saved["params"], strict=True)
    }
    values = {index: _sharded_state(state["state"][index], parameters[index]) for index in state["state"]}
    optimizer.load_state_dict({"state": values, "param_groups": groups})
    return True


def _sharded_state(state: Mapping[str, Any], parameter: Tensor) -> dict[str, Any]:
    """The state of a parameter, with its tensors sharded as the parameter is."""
    return {
        name: shard_like(value, parameter) if isinstance(value, Tensor) else value
        for name, value in state.items()
    }


def _parameter_groups(
    module: nn.Module, train: TrainingSettings, head: Sequence[str]
) -> list[ParameterGroup]:
    """Parameter groups by weight decay and by `lr_scale`, the factor on the learning rate.

    They are split further by what the settings need: stages, the head, and the matrices that Muon updates.
    """
    decay, scale = train.weight_decay, train.norm_bias_lr_scale
    norm_biases = [] if scale == 1 else _norm_biases(module)
    separate = {id(parameter) for parameter in norm_biases}
    others = [p for p in module.parameters() if id(p) not in separate]

    def decays(parameter: nn.Parameter) -> bool:
        return parameter.ndim > 1 or not decay or train.decay_all

    groups = [
        # Weight decay is multiplied by the learning rate in the update: dividing it by the scale keeps its effect.
        {"params": norm_biases, "lr_scale": scale, "weight_decay": decay / scale},
        {"params": [p for p in others if decays(p)], "lr_scale": 1.0, "weight_decay": decay},
        {"params": [p for p in others if not decays(p)], "lr_scale": 1.0, "weight_decay": 0.0},
    ]
    if train.layer_decay < 1 or train.head_lr or train.optimizer == "muon":
        groups = _split_groups(groups, _traits(module, train, head))
    return [group for group in groups if group["params"]]


class _Traits(NamedTuple):
    """What the settings make of a parameter, apart from weight decay."""

    layer_scale: float
    """The factor of its stage on the learning rate."""
    head: bool
    """Whether it has the rate of the head."""
    matrix: bool
    """Whether Muon updates it."""


def _traits(module: nn.Module, train: TrainingSettings, head: Sequence[str]) -> dict[int, _Traits]:
    """The traits of each parameter, by its id.

    The head has the scale 1, the last stage `train.layer_decay`, the one before it the square of that, and so on.
    """
    stages = stages_of(module, head)
    depths = {name: len(stages) - index for index, names in enumerate(stages) for name in names}
    traits = {}
    for name, parameter in module.named_parameters():
        is_head = in_head(name, head)
        traits[id(parameter)] = _Traits(
            layer_scale=train.layer_decay ** depths.get(name, 0),
            head=is_head and train.head_lr > 0,
            matrix=train.optimizer == "muon" and parameter.ndim == 2 and not is_head,
        )
    return traits


def _split_groups(groups: list[ParameterGroup], traits: dict[int, _Traits]) -> list[ParameterGroup]:
    """The groups, each split into those of equal traits, which become part of them."""
    split: list[ParameterGroup] = []
    for group in groups:
        parts: dict[_Traits, ParameterGroup] = {}
        for parameter in group["params"]:
            own = traits[id(parameter)]
            scale = group["lr_scale"] * own.layer_scale
            empty = {**group, "params": [], "lr_scale": scale, "head": own.head, "matrix": own.matrix}
            parts.setdefault(own, empty)["params"].append(parameter)
        split += parts.values()
    return split


def _norm_biases(module: nn.Module) -> list[nn.Parameter]:
    norms = (
        part
        for part in module.modules()
        if is_batch_norm(part) or isinstance(part, nn.GroupNorm | nn.LayerNorm)
    )
    biases = [part.bias for part in norms if isinstance(part.bias, nn.Parameter)]
    return list(dict.fromkeys(biases))


def set_lr(optimizer: Optimizer, lr: float, train: TrainingSettings | None = None) -> None:
    """Use learning rate `lr` from the next step on; does not synchronize with the device.

    That of the head is in proportion to it as `train.head_lr` is to `train.lr`.
    """
    head_scale = train.head_lr / train.lr if train is not None and train.head_lr else 1.0
    for group in optimizer.param_groups:
        rate = lr * group["lr_scale"] * (head_scale if group.get("head") else 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
