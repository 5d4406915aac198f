"""Sharding a model over the processes of a training by FSDP2, for models that a single GPU can't hold.

Each process keeps a shard of every parameter, of its gradient and of its optimizer state. The parameters of one unit
at a time are gathered for its forward and backward pass (Zhao et al. 2023, "PyTorch FSDP", arXiv:2304.11277).
"""

from __future__ import annotations

from collections import Counter

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from workbench.core.errors import UserError
from workbench.engine.activation_checkpointing import CONTAINERS
from workbench.engine.device import Precision
from workbench.engine.torch_compat import has_batch_norm

MIN_PARAMETERS = 1_000_000
"""Of a unit: less (4 MB) is gathered together with the rest of the model."""


def units_of(module: nn.Module) -> list[nn.Module]:
    """The parts of a model whose parameters are gathered separately; the rest of the model is another unit.

    These are the blocks and layers of its sequences (residual blocks, transformer layers, the layers of an
    `nn.Sequential`) with at least `MIN_PARAMETERS` parameters; of blocks within blocks, the outer ones. Not those that
    share a parameter with another part.
    """
    return _units_below(module, _uses(module))


def _units_below(module: nn.Module, uses: Counter[int]) -> list[nn.Module]:
    units: list[nn.Module] = []
    for part in module.children():
        if sum(p.numel() for p in part.parameters()) < MIN_PARAMETERS:
            continue
        is_element = isinstance(module, CONTAINERS) and not isinstance(part, CONTAINERS)
        # Parameters are gathered when the part is called: other modules may use only the weights of their layers.
        is_called = any(part.children()) or type(module).forward is nn.Sequential.forward
        shares_parameters = any(uses[key] > count for key, count in _uses(part).items())
        is_unit = is_element and is_called and not shares_parameters
        units += [part] if is_unit else _units_below(part, uses)
    return units


def _uses(module: nn.Module) -> Counter[int]:
    """In how many places of `module` each parameter is, by its `id`."""
    return Counter(id(p) for _, p in module.named_parameters(remove_duplicate=False))


def shard_module(module: nn.Module, precision: Precision) -> int:
    """Shard a model over all processes, in place, and move it to their devices; returns the number of units.

    The units are moved one by one, so that no device ever holds all of them. Raises `UserError` for parameters without
    dimensions, which can't be sharded.
    """
    scalars = [name for name, parameter in module.named_parameters() if parameter.ndim == 0]
    if scalars:
        raise UserError(
            f"train.fsdp: the model's parameter {scalars[0]} is a single number, which can't be sharded; set it to no"
        )
    assert dist.group.WORLD is not None
    mesh = DeviceMesh.from_group(dist.group.WORLD, precision.device.type)
    units = [*units_of(module), module]
    for unit in units:
        # The root, too, is resharded after its forward pass: `parameters()` are the sharded ones between all steps.
        sharded = fully_shard(unit, mesh=mesh, reshard_after_forward=True, mp_policy=_policy(unit, precision))
        if precision.device.type == "cpu":
            # The gloo of some versions returns the sum where the average is requested (pytorch/pytorch#162338).
            sharded.set_force_sum_reduction_for_comms(True)
    return len(units)


def _policy(unit: nn.Module, precision: Precision) -> MixedPrecisionPolicy:
    """Parameters are gathered in the compute dtype, but those of batch norms in float32; gradients are float32."""
    is_mixed = precision.name != "fp32" and not has_batch_norm(unit)
    return MixedPrecisionPolicy(precision.dtype if is_mixed else None, reduce_dtype=torch.float32)
