from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from workbench.experiment import Choice
from workbench.models.build import build_model, build_shapes, check_forward
from workbench.models.catalogue import CATALOGUE, find

OWN = [info.name for info in CATALOGUE if info.kind == "builtin"]


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 14, 14), (1, 28, 28), (3, 32, 32), (3, 40, 24)])
def test_every_model_takes_every_picture(name: str, shape: tuple[int, ...]) -> None:
    built = build_model(Choice(name), shape=shape, outputs=7, task="classification")
    check_forward(built, built.preprocessing((0.5,), (0.2,)), torch.zeros(2, *shape, dtype=torch.uint8), 7)


@pytest.mark.parametrize("name", OWN)
def test_the_catalogue_says_the_parameters(name: str) -> None:
    built = build_model(Choice(name), shape=(3, 32, 32), outputs=10, task="classification")
    assert parameters(built.module) == find(name).parameters


def test_the_convnet_is_the_tutorials() -> None:
    module = build_model(Choice("convnet"), shape=(3, 32, 32), outputs=10, task="classification").module
    kinds = (nn.Conv2d, nn.Linear)
    shapes = [tuple(layer.weight.shape) for layer in module.modules() if isinstance(layer, kinds)]
    assert shapes == [(6, 3, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]


def test_options_reach_the_model() -> None:
    def layers(name: str, **options: object) -> int:
        choice = Choice(name, dict(options))
        module = build_model(choice, shape=(1, 8, 8), outputs=10, task="classification").module
        return sum(isinstance(layer, nn.Linear | nn.Conv2d) for layer in module.modules())

    assert layers("mlp", widths=[32, 16, 8], dropout=0.0) == 4
    assert layers("resnet", depth=8, width=4) == 10  # with two projections
    assert layers("resnet", depth=14, width=4) == 16
    linear = build_model(Choice("linear", {"bias": False}), shape=(1,), outputs=1, task="regression").module
    assert parameters(linear) == 1


@pytest.mark.parametrize("name", ["mlp", "convnet", "lenet", "resnet", "linear"])
def test_it_can_tell_left_from_right(name: str) -> None:
    """A few steps on pictures that are bright on one side: a model that can't learn this learns nothing."""
    torch.manual_seed(0)
    pictures, labels = left_or_right(64)
    built = build_model(Choice(name), shape=(1, 16, 16), outputs=2, task="classification")
    inputs = built.preprocessing((0.4,), (0.3,))(pictures)
    optimizer = torch.optim.Adam(built.module.parameters(), lr=3e-3)
    for _ in range(25):
        optimizer.zero_grad()
        nn.functional.cross_entropy(built.module(inputs), labels).backward()
        optimizer.step()
    assert (built.module(inputs).argmax(1) == labels).float().mean() > 0.95


def left_or_right(count: int) -> tuple[Tensor, Tensor]:
    pictures = torch.randint(0, 120, (count, 1, 16, 16), dtype=torch.uint8)
    labels = torch.arange(count) % 2
    pictures[labels == 0, :, :, :8] += 100
    pictures[labels == 1, :, :, 8:] += 100
    return pictures, labels


def test_all_of_torchvisions_are_built_with_our_classes() -> None:
    for place, info in enumerate(CATALOGUE):
        if info.kind == "torchvision":
            pretrained = bool(place % 2)
            choice = Choice(info.name, {"pretrained": pretrained})
            built = build_shapes(choice, shape=(1, 28, 28), outputs=7, task="classification")
            head = built.module.get_submodule(built.head[0])
            assert head.weight.shape[0] == 7, info.name
            assert built.channels == 3 and built.pretrained == pretrained
            assert all(p.is_meta for p in built.module.parameters())


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "squeezenet1_1", "mobilenet_v3_small"])
def test_a_network_in_training_gives_plain_logits(name: str) -> None:
    built = build_model(
        Choice(name, {"pretrained": False}), shape=(3, 80, 80), outputs=5, task="classification"
    )
    inputs = built.preprocessing()(torch.zeros(2, 3, 80, 80, dtype=torch.uint8))
    assert built.module.train()(inputs).shape == (2, 5)
