"""The stages of torchvision's families and of other networks."""

from __future__ import annotations

import pytest
from torch import nn
from torchvision.ops import StochasticDepth

from workbench.core.settings_schema import Choice
from workbench.engine.stochastic_depth import set_drop_path
from workbench.models.factory import build_shapes
from workbench.models.stages import stages_of

FAMILIES = {
    "resnet18": ["conv1", "layer1", "layer2", "layer3", "layer4"],
    "regnet_y_400mf": ["stem", *(f"trunk_output.block{n}" for n in range(1, 5))],
    "convnext_tiny": [f"features.{n}" for n in range(8)],
    "swin_t": [f"features.{n}" for n in range(8)],
    "efficientnet_b0": [f"features.{n}" for n in range(9)],
    "mobilenet_v2": [f"features.{n}" for n in range(19)],
    "densenet121": ["features.conv0", "features.denseblock1", "features.transition1", "features.denseblock2",
                    "features.transition2", "features.denseblock3", "features.transition3", "features.denseblock4"],
    "shufflenet_v2_x1_0": ["conv1", "stage2", "stage3", "stage4", "conv5"],
    "maxvit_t": ["stem", *(f"blocks.{n}" for n in range(4)), "classifier"],
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_the_stages_of_torchvisions_families(name: str) -> None:
    built = build_shapes(Choice(name, {}), shape=(3, 32, 32), outputs=10, task="classification")
    stages = stages_of(built.module, built.head)
    assert [
        names[0].startswith(prefix + ".") for names, prefix in zip(stages, FAMILIES[name], strict=True)
    ] == [True] * len(stages)
    placed = [name for names in stages for name in names]
    outside = [n for n, _ in built.module.named_parameters() if not n.startswith(built.head)]
    assert sorted(placed) == sorted(outside)


def test_a_vision_transformer_has_a_stage_for_each_layer() -> None:
    built = build_shapes(Choice("vit_b_16", {}), shape=(3, 32, 32), outputs=10, task="classification")
    first, *others = stages_of(built.module, built.head)
    assert {"class_token", "conv_proj.weight", "encoder.pos_embedding"} <= set(first)
    assert len(others) == 12 and "encoder.ln.weight" in others[-1]


def test_small_networks_have_as_many_stages_as_layers() -> None:
    assert stages_of(nn.Linear(2, 2), ()) == [["weight", "bias"]]
    assert stages_of(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), ("1",)) == [["0.weight", "0.bias"]]
    assert stages_of(nn.Flatten(), ()) == []


def test_drop_path_keeps_the_proportions_of_the_model() -> None:
    built = build_shapes(Choice("convnext_tiny", {}), shape=(3, 32, 32), outputs=10, task="classification")
    layers = [part for part in built.module.modules() if isinstance(part, StochasticDepth)]
    before = [layer.p for layer in layers]
    assert set_drop_path(built.module, 0.5)
    assert [layer.p for layer in layers] == pytest.approx([p * 0.5 / before[-1] for p in before])
    assert not set_drop_path(nn.Linear(2, 2), 0.5)
