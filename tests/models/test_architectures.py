from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.datasets.dataset import Split
from workbench.models.architectures.cifar_fast import CifarFast
from workbench.models.catalog import CATALOG, find
from workbench.models.factory import build_model, build_shapes, check_forward, data_dependent_init
from workbench.models.outputs import extra_metrics, probabilities
from workbench.models.preprocessing import Preprocessing

OWN = [info.name for info in CATALOG if info.kind == "builtin" and "classification" in info.tasks]


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 14, 14), (1, 28, 28), (3, 32, 32), (3, 40, 24)])
def test_every_model_takes_every_image(name: str, shape: tuple[int, ...]) -> None:
    built = build_model(Choice(name), shape=shape, outputs=7, task="classification")
    check_forward(built, built.preprocessing((0.5,), (0.2,)), torch.zeros(2, *shape, dtype=torch.uint8), 7)


@pytest.mark.parametrize("name", OWN)
def test_the_catalog_lists_the_parameters(name: str) -> None:
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


@pytest.mark.parametrize("name", ["mlp", "convnet", "lenet", "resnet", "cifar-fast", "linear"])
def test_a_network_learns_left_from_right(name: str) -> None:
    """A few steps on images that are bright on one side: a model that can't learn this learns nothing."""
    torch.manual_seed(0)
    images, labels = left_or_right(64)
    built = build_model(Choice(name), shape=(1, 16, 16), outputs=2, task="classification")
    inputs = built.preprocessing((0.4,), (0.3,))(images)
    optimizer = torch.optim.Adam(built.module.parameters(), lr=3e-3)
    for _ in range(25):
        optimizer.zero_grad()
        nn.functional.cross_entropy(built.module(inputs), labels).backward()
        optimizer.step()
    assert (built.module(inputs).argmax(1) == labels).float().mean() > 0.95


def left_or_right(count: int) -> tuple[Tensor, Tensor]:
    images = torch.randint(0, 120, (count, 1, 16, 16), dtype=torch.uint8)
    labels = torch.arange(count) % 2
    images[labels == 0, :, :, :8] += 100
    images[labels == 1, :, :, 8:] += 100
    return images, labels


def test_all_torchvision_models_are_built_with_our_classes() -> None:
    for place, info in enumerate(CATALOG):
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


def test_a_network_can_end_in_a_softmax_and_lists_it() -> None:
    choice = Choice("mlp", {"widths": [8], "dropout": 0.0, "batch_norm": True, "softmax": True})
    module = build_model(choice, shape=(2,), outputs=3, task="classification").module.eval()
    assert [type(layer) for layer in module.body] == [
        nn.Flatten, nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout,
    ]  # fmt: skip
    outputs = module(torch.randn(5, 2))
    assert torch.allclose(outputs.sum(1), torch.ones(5))
    assert torch.equal(probabilities(module, outputs), outputs)
    plain = build_model(Choice("mlp"), shape=(2,), outputs=3, task="classification").module.eval()
    outputs = plain(torch.randn(5, 2))
    assert torch.equal(probabilities(plain, outputs), outputs.softmax(1))


def test_the_earlier_name_of_the_method_for_extra_metrics_still_works() -> None:
    class Earlier(nn.Module):
        def figures(self) -> dict[str, float]:
            return {"sparsity": 0.5}

    assert extra_metrics(Earlier()) == {"sparsity": 0.5}


def test_a_scalar_is_one_weight_of_no_dimension() -> None:
    built = build_model(Choice("scalar", {"start": 0.25}), shape=(1,), outputs=1, task="regression")
    weights = list(built.module.parameters())
    assert [(w.shape, w.dtype) for w in weights] == [(torch.Size([]), torch.float32)]
    assert built.module(torch.tensor([[2.0], [4.0]])).tolist() == [[0.5], [1.0]]
    assert extra_metrics(built.module) == {"weight": 0.25}
    assert extra_metrics(nn.Linear(1, 1)) == {}
    assert built.head == ()
    with pytest.raises(UserError, match="try linear"):
        build_model(Choice("scalar"), shape=(2,), outputs=1, task="regression")


def test_images_are_normalized_as_asked() -> None:
    built = build_model(Choice("linear"), shape=(1, 8, 8), outputs=2, task="classification")
    images = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
    reached = {
        normalize: built.preprocessing((0.5,), (0.25,), normalize)(images)[:, 0, 0, 0].tolist()
        for normalize in ("auto", "half", "none")
    }
    assert reached == {"auto": [-2.0, 2.0], "half": [-1.0, 1.0], "none": [0.0, 1.0]}


def test_whitening_makes_patches_of_the_data_independent() -> None:
    module = build_model(Choice("cifar-fast"), shape=(3, 20, 20), outputs=2, task="classification").module
    inputs = torch.randn(300, 3, 20, 20, generator=torch.Generator().manual_seed(0)).cumsum(2).cumsum(3)
    patches = Split(inputs, torch.zeros(300, dtype=torch.int64))
    data_dependent_init(module, Preprocessing(), patches)
    assert isinstance(module, CifarFast)
    maps = module.whiten(inputs).detach().transpose(0, 1).flatten(1)
    products = maps[:12] @ maps[:12].T / maps.shape[1]
    assert torch.allclose(products, torch.eye(12), atol=5e-3)
    assert torch.equal(maps[12:], -maps[:12])
    assert not module.whiten.weight.requires_grad


def test_a_model_without_such_a_beginning_is_left_alone() -> None:
    module = nn.Linear(2, 2)
    data_dependent_init(module, Preprocessing(), Split(torch.zeros(3, 2), torch.zeros(3)))
