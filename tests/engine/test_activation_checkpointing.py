"""Activation checkpointing: the same gradients and statistics as without it, with less kept for the backward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import resnet
from torchvision.models.convnext import CNBlockConfig

from workbench.engine.activation_checkpointing import blocks_of, checkpoint_blocks

Make = Callable[[], nn.Module]
NETWORKS: dict[str, tuple[Make, int, str]] = {
    "batch norm": (lambda: models.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=4), 4, "BasicBlock"),
    "a list that grows": (lambda: models.DenseNet(8, (3, 3), 8, num_classes=4), 6, "_DenseLayer"),
    "dropout": (
        lambda: models.VisionTransformer(32, 8, 3, 2, 32, 64, dropout=0.2, num_classes=4),
        3,
        "EncoderBlock",
    ),
    "stochastic depth": (
        lambda: models.ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 2)], 0.5, num_classes=4),
        3,
        "CNBlock",
    ),
}
"""A network, the number of its blocks, and their type."""


def step(module: nn.Module, inputs: Tensor) -> tuple[list[Tensor | None], list[Tensor], int]:
    """Gradients and buffers after one step, and the bytes that were kept for the backward pass."""
    kept: dict[int, int] = {}
    weights = {parameter.data_ptr() for parameter in module.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    module.train()
    torch.manual_seed(0)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = module(inputs).square().mean()
    loss.backward()
    return [p.grad for p in module.parameters()], list(module.buffers()), sum(kept.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_is_the_same_with_less_memory(name: str) -> None:
    make, count, kind = NETWORKS[name]
    torch.manual_seed(1)
    plain, inputs = make(), torch.randn(4, 3, 32, 32)
    checkpointed = copy.deepcopy(plain)
    assert checkpoint_blocks(checkpointed) == count
    copied = copy.deepcopy(checkpointed)  # as thread tuning tries steps on
    gradients, buffers, kept = step(plain, inputs)
    for module in (checkpointed, copied):
        found, statistics, less = step(module, inputs)
        assert all(a is b is None or torch.equal(a, b) for a, b in zip(found, gradients, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(statistics, buffers, strict=True))
        assert 0 < less < 0.7 * kept
    assert list(checkpointed.state_dict()) == list(plain.state_dict())
    assert {type(block).__name__ for block in blocks_of(checkpointed)} == {kind}


def test_an_evaluation_computes_nothing_twice() -> None:
    calls: list[int] = []

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

        def forward(self, inputs: Tensor) -> Tensor:
            calls.append(1)
            outputs: Tensor = self.layers(inputs)
            return outputs

    module = nn.Sequential(Block(), Block())
    assert checkpoint_blocks(module) == 2
    with torch.no_grad():
        module(torch.ones(1, 4))
    module.eval()(torch.ones(1, 4, requires_grad=True)).sum().backward()
    assert len(calls) == 4
    module.train()(torch.ones(1, 4)).sum().backward()
    assert len(calls) == 8


def test_a_sequence_of_layers_has_no_blocks() -> None:
    assert checkpoint_blocks(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))) == 0
