from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.models import catalog, torchvision_models
from workbench.models.factory import BuiltModel, build_model, check_forward
from workbench.models.pretrained_weights import WeightsRequest
from workbench.models.summary import summarize


def published(name: str, path: Path, **arguments: object) -> dict[str, torch.Tensor]:
    """A file as torchvision publishes it for `name` (random values), and its content."""
    torch.manual_seed(0)
    if name in {"googlenet", "inception_v3"}:
        arguments |= {"init_weights": True, "aux_logits": True}
    state = (
        torchvision_models.torchvision_models()
        .get_model_builder(name)(weights=None, **arguments)
        .state_dict()
    )
    torch.save(state, path)
    return state


def tuned(name: str, path: Path, outputs: int = 3, **options: object) -> BuiltModel:
    choice = Choice(name, {"pretrained": True, "weights": str(path), **options})
    return build_model(choice, shape=(3, 32, 32), outputs=outputs, task="classification")


def test_all_but_the_head_comes_from_the_file(tmp_path: Path) -> None:
    state = published("squeezenet1_1", tmp_path / "w.pth")
    built = tuned("squeezenet1_1", tmp_path / "w.pth")
    own = built.module.state_dict()
    for name, values in own.items():
        inside = name.startswith(built.head[0])
        assert (values.shape != state[name].shape) if inside else torch.equal(values, state[name])
    assert built.head == ("classifier.1",) and built.pretrained
    assert (built.preprocessing_size, built.channels) == (224, 3)
    assert built.preprocessing((0.1,), (0.1,)).mean == (0.485, 0.456, 0.406)
    check_forward(built, built.preprocessing(), torch.zeros(2, 1, 28, 28, dtype=torch.uint8), 3)


def test_side_heads_in_the_file_are_left_out(tmp_path: Path) -> None:
    state = published("googlenet", tmp_path / "w.pth")
    assert any(name.startswith("aux1.") for name in state)
    built = tuned("googlenet", tmp_path / "w.pth", input_size=64)
    assert torch.equal(built.module.state_dict()["conv1.conv.weight"], state["conv1.conv.weight"])
    assert built.module.transform_input


def test_a_transformers_positions_are_stretched_to_another_size(tmp_path: Path) -> None:
    state = published("vit_b_32", tmp_path / "w.pth", image_size=64)
    module = torchvision_models.build(catalog.find("vit_b_32"), 3, size=96, pretrained=True)
    assert state["encoder.pos_embedding"].shape == (1, 5, 768)
    request = WeightsRequest(str(tmp_path / "w.pth"))
    torchvision_models.load_published(module, catalog.find("vit_b_32"), request)
    assert module.state_dict()["encoder.pos_embedding"].shape == (1, 10, 768)


def test_a_size_that_it_can_not_have_is_one_line() -> None:
    choice = Choice("maxvit_t", {"pretrained": False, "input_size": 100})
    with pytest.raises(UserError, match="maxvit_t does not support images of 100×100"):
        build_model(choice, shape=(3, 32, 32), outputs=3, task="classification")


def test_a_size_that_is_too_small_is_one_line() -> None:
    choice = Choice("alexnet", {"pretrained": False, "input_size": 16})
    built = build_model(choice, shape=(3, 32, 32), outputs=3, task="classification")
    with pytest.raises(UserError, match=r"alexnet does not accept inputs of shape \[3, 16, 16\]"):
        check_forward(
            built, built.preprocessing(), torch.zeros(2, 3, 32, 32, dtype=torch.uint8), 3, "alexnet"
        )


def test_weights_of_another_architecture_are_one_line(tmp_path: Path) -> None:
    published("squeezenet1_1", tmp_path / "w.pth")
    with pytest.raises(UserError, match="do not fit the model: missing "):
        tuned("squeezenet1_0", tmp_path / "w.pth")


def test_data_without_images_or_with_values_to_predict() -> None:
    with pytest.raises(UserError, match="takes images"):
        build_model(Choice("resnet18"), shape=(2,), outputs=2, task="classification")
    with pytest.raises(UserError, match="does not support regression"):
        build_model(Choice("resnet18"), shape=(3, 8, 8), outputs=1, task="regression")


def test_a_summary_has_every_layer_and_every_parameter() -> None:
    built = build_model(Choice("convnet"), shape=(3, 32, 32), outputs=10, task="classification")
    rows = summarize(built.module, (1, 3, 32, 32))
    shown = [(row.kind, row.output_shape, row.parameters) for row in rows]
    assert shown[0] == ("Conv2d", (6, 28, 28), 456)
    assert shown[-1] == ("Linear", (10,), 850)
    assert sum(row.parameters for row in rows) == 62_006 and built.module.training


def test_a_summary_counts_what_is_shared_once_and_what_is_frozen_apart() -> None:
    layer = nn.Linear(4, 4)
    layer.weight.requires_grad_(False)
    rows = summarize(nn.Sequential(layer, nn.ReLU(), layer), (1, 4))
    assert [(row.parameters, row.trainable) for row in rows] == [(20, 4), (0, 0), (0, 0)]


def test_a_summary_finds_parameters_outside_of_layers() -> None:
    module = torchvision_models.build(catalog.find("vit_b_32"), 3, size=64)
    rows = summarize(module, (1, 3, 64, 64))
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in module.parameters())
