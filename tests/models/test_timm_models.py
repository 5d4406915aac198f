"""Models of timm: found without it, built, loaded from its own files and those of other tools, and read as it reads."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.file_server import serving
from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.inference.classifier import Classifier
from workbench.models import catalog, published, timm_models
from workbench.models.factory import BuiltModel, build_model
from workbench.models.pretrained_weights import ensure_weights

SMALL = "timm:resnet10t.c3_in1k"
VIT = "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k"


def timm() -> Any:
    return importlib.import_module("timm")


def pretrained(name: str, path: Path, **options: object) -> dict[str, torch.Tensor]:
    """Random weights in place of the published ones, which no test can download."""
    torch.manual_seed(1)
    module = timm().create_model(name.removeprefix("timm:"), **options)
    state = {key: torch.rand_like(tensor) if tensor.is_floating_point() else tensor
             for key, tensor in module.state_dict().items()}  # fmt: skip
    save_file(state, path)
    return state


def tuned(name: str, file: Path, classes: int = 3, **options: object) -> BuiltModel:
    choice = Choice(name, {"pretrained": True, "weights": str(file), **options})
    return build_model(choice, shape=(3, 64, 64), outputs=classes, task="classification")


def test_the_table_is_that_of_timm() -> None:
    names = {info.name for info in catalog.timm_models()}
    offered = {f"timm:{name}" for name in timm().list_models(pretrained=True)}
    assert len(names) > 1500
    assert len(names - offered) <= 20 and len(names & offered) > 1500  # other versions have a few others
    info = catalog.find("timm:resnet50")
    assert info.name == "timm:resnet50.a1_in1k"  # the weights that timm takes for the architecture
    assert (info.parameters, info.input_size, info.classes) == (25_557_032, 224, 1000)
    assert info.accuracy and 80 < info.accuracy < 82 and info.gmacs and 4 < info.gmacs < 4.2
    assert info.weights_url.endswith("/timm/resnet50.a1_in1k/resolve/main/model.safetensors")


@pytest.mark.parametrize(
    "name", [SMALL, VIT, "timm:convnext_atto.d2_in1k", "timm:deit_tiny_distilled_patch16_224.fb_in1k"]
)
def test_parameters_are_those_of_the_built_model(name: str) -> None:
    module = timm_models.build(catalog.find(name), 7)
    assert sum(p.numel() for p in module.parameters()) == catalog.find(name).parameters_for(7)


def test_fine_tuning_keeps_the_body_and_makes_a_new_head(tmp_path: Path) -> None:
    state = pretrained(SMALL, tmp_path / "w.safetensors")
    built = tuned(SMALL, tmp_path / "w.safetensors")
    loaded = built.module.state_dict()
    assert torch.equal(loaded["conv1.0.weight"], state["conv1.0.weight"])
    assert built.head == ("fc",) and loaded["fc.weight"].shape == (3, 512)
    assert built.mean == tuple(timm().get_pretrained_cfg("resnet10t").mean)
    assert built.weights and set(built.weights.new) == {"fc.weight", "fc.bias"}
    again = tuned(SMALL, tmp_path / "w.safetensors", classes=1000)
    assert not torch.equal(again.module.state_dict()["fc.weight"], state["fc.weight"])


def test_a_checkpoint_of_a_trainer_is_unwrapped(tmp_path: Path) -> None:
    state = pretrained(SMALL, tmp_path / "w.safetensors")
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pth")
    built = tuned(SMALL, tmp_path / "w.pth")
    assert torch.equal(built.module.state_dict()["conv1.0.weight"], state["conv1.0.weight"])
    assert built.weights and (built.weights.entry, built.weights.prefix) == ("state_dict", "module.")


def test_positions_of_a_transformer_are_resampled_for_another_size(tmp_path: Path) -> None:
    state = pretrained(VIT, tmp_path / "w.safetensors")
    built = tuned(VIT, tmp_path / "w.safetensors", input_size=96)
    assert state["pos_embed"].shape == (1, 197, 192)
    assert built.module.state_dict()["pos_embed"].shape == (1, 37, 192)
    assert built.preprocessing_size == 96


def test_weights_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    pretrained(VIT, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="do not fit"):
        tuned(SMALL, tmp_path / "w.safetensors")
    state = pretrained(SMALL, tmp_path / "w.safetensors")
    state["conv1.0.weight"][0] = float("nan")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"NaN or infinite weights in conv1\.0\.weight"):
        tuned(SMALL, tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "name",
    [SMALL, VIT, "timm:vit_base_patch16_clip_224.openai_ft_in1k", "timm:efficientvit_b0.r224_in1k",
     "timm:convnextv2_nano.fcmae_ft_in22k_in1k_384", "timm:seresnextaa101d_32x8d.sw_in12k_ft_in1k_288"],
)  # fmt: skip
def test_an_image_becomes_what_timms_own_transform_makes_of_it(name: str) -> None:
    config = timm().get_pretrained_cfg(name.removeprefix("timm:")).to_dict()
    data = importlib.import_module("timm.data")
    own = data.create_transform(**data.resolve_data_config({}, pretrained_cfg=config), is_training=False)
    ours = timm_models.published_transforms(catalog.find(name))
    pixels = torch.randint(
        0, 256, (300, 400, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    for size in ((400, 300), (300, 900), (90, 80)):
        image = Image.fromarray(pixels.numpy()).resize(size)
        assert torch.allclose(ours(image), own(image), atol=1e-5)


def test_the_table_crops_as_timm_does() -> None:
    for info in catalog.timm_models():
        if timm().get_pretrained_cfg(info.name.removeprefix("timm:")) is None:
            continue  # of another version
        crop, preset = info.center_crop({}), timm_models.published_transforms(info)
        if crop is not None and hasattr(preset, "resize_size"):
            assert [crop.side] == preset.crop_size
            # A few are evaluated on smaller images with a black border, which training here does not add.
            assert crop.resize == max(crop.side, preset.resize_size[0])
            assert crop.interpolation == preset.interpolation.value


def test_every_transform_of_the_table_is_timms() -> None:
    """All ways of cropping, interpolating and normalizing that the table has, once each."""
    data = importlib.import_module("timm.data")
    image = Image.effect_noise((333, 250), 90).convert("RGB")
    seen = set()
    for info in catalog.timm_models():
        config = timm().get_pretrained_cfg(info.name.removeprefix("timm:"))
        if config is None:
            continue
        way = (config.crop_mode, config.interpolation, config.crop_pct, config.mean)
        if way in seen or info.input_size is None or info.input_size > 300:
            continue
        seen.add(way)
        resolved = data.resolve_data_config({}, pretrained_cfg=config.to_dict())
        own = data.create_transform(**resolved, is_training=False)(image)
        assert torch.allclose(timm_models.published_transforms(info)(image), own, atol=1e-5), info.name
    assert {way[0] for way in seen} >= {"center", "squash"}


def test_it_classifies_as_timm_does(tmp_path: Path) -> None:
    name, image = SMALL, Image.effect_noise((200, 260), 90).convert("RGB")
    pretrained(name, tmp_path / "w.safetensors")
    classifier = Classifier.from_published(name, tmp_path / "w.safetensors", device="cpu")
    data = importlib.import_module("timm.data")
    module = timm().create_model("resnet10t.c3_in1k", checkpoint_path=str(tmp_path / "w.safetensors")).eval()
    transform = data.create_transform(**data.resolve_model_data_config(module), is_training=False)
    with torch.no_grad():
        expected = module(transform(image)[None]).softmax(1)
    assert torch.allclose(classifier.classify([image]), expected, atol=1e-5)
    assert classifier.classes[:2] == ("tench", "goldfish")


def test_weights_of_other_classes_need_their_names(tmp_path: Path) -> None:
    pretrained(SMALL, tmp_path / "w.safetensors", num_classes=2)
    with pytest.raises(UserError, match="have 2 outputs: pass their names"):
        Classifier.from_published(SMALL, tmp_path / "w.safetensors", device="cpu")
    classifier = Classifier.from_published(SMALL, tmp_path / "w.safetensors", ["cat", "dog"], device="cpu")
    assert classifier.classes == ("cat", "dog")


def test_class_names_of_other_imagenets_are_those_of_timm() -> None:
    names = published.library(
        info := catalog.find("timm:vit_tiny_patch16_224.augreg_in21k")
    ).published_classes(info)
    assert len(names) == info.classes == 21_843 and all(names)
    features = catalog.find("timm:vit_small_patch14_dinov2.lvd142m")
    with pytest.raises(UserError, match="compute features and no classes: train it first"):
        timm_models.published_classes(features)


def test_weights_come_through_our_own_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "served" / "timm" / "resnet10t.c3_in1k" / "resolve" / "main"
    folder.mkdir(parents=True)
    state = pretrained(SMALL, folder / "model.safetensors")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    with serving(tmp_path / "served") as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        choice = Choice("timm:resnet10t", {"pretrained": True})
        built = build_model(choice, shape=(3, 64, 64), outputs=3, task="classification")
    assert torch.equal(built.module.state_dict()["conv1.0.weight"], state["conv1.0.weight"])
    file = tmp_path / "torch" / "hub" / "checkpoints" / "resnet10t.c3_in1k.safetensors"
    assert catalog.find(SMALL).local_weights() == file == ensure_weights(SMALL)


def test_weights_that_huggingface_tools_have_downloaded_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    folder = tmp_path / "huggingface" / "hub" / "models--timm--resnet10t.c3_in1k" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    assert catalog.find(SMALL).local_weights() is None
    pretrained(SMALL, folder / "model.safetensors")
    assert ensure_weights(SMALL) == folder / "model.safetensors"


def test_unknown_names_are_one_line() -> None:
    with pytest.raises(UserError, match=r"unknown model 'timm:resnet51' \(did you mean 'timm:resnet\d+"):
        catalog.find("timm:resnet51")


def test_words_find_names_that_begin_with_them_first() -> None:
    found = catalog.find_by_words(["timm", "ResNet50", "a1"], catalog.timm_models())
    assert [info.name for info in found[:2]] == ["timm:resnet50.a1_in1k", "timm:resnet50.a1h_in1k"]
    assert any(info.name.startswith("timm:seresnet50") for info in found)
    assert catalog.find_by_words(["no", "such", "model"], catalog.timm_models()) == []


def test_networks_without_normalization_get_a_low_rate() -> None:
    assert catalog.find("timm:vgg16.tv_in1k").train_defaults({})["lr"] == 1e-4
    assert catalog.find("timm:vgg16_bn.tv_in1k").train_defaults({})["lr"] == 3e-4
