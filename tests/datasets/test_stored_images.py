"""Photographs for large networks: stored larger for training, and evaluated as their published accuracy was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models as torchvision_models

from workbench.core.settings_schema import Choice
from workbench.datasets.dataset import Dataset, Split
from workbench.datasets.fold_choice import FoldChoice
from workbench.datasets.loader import load
from workbench.inference.image_pipeline import RunTransform
from workbench.io.images import image_size, open_image
from workbench.models import catalog
from workbench.models.factory import build_model
from workbench.models.preprocessing import Preprocessing

SIZES = [
    (300, 200),
    (200, 300),
    (900, 300),
    (500, 375),
    (40, 60),
    (224, 224),
    (256, 257),
    (5, 700),
    (700, 5),
    (1, 1),
]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of smooth noise in JPEG and PNG files, of all aspect ratios."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    rng, root = np.random.default_rng(0), tmp_path / "photos"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i, (width, height) in enumerate(SIZES * 2):
            noise = rng.integers(0, 256, (height // 25 + 1, width // 25 + 1, 3), np.uint8)
            image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
            image.save(root / name / f"{i:02}.{'jpg' if i % 3 else 'png'}")
    return root


def loaded(root: Path, model: str = "resnet18", **options: Any) -> Dataset:
    keywords = {key: options.pop(key) for key in ("validation", "progress", "fold") if key in options}
    info, model_options = catalog.find(model), options.pop("model_options", {})
    return load(
        Choice(f"folder:{root}", {"test": 0.4} | options),
        size=info.load_size(model_options),
        channels=info.channels,
        crop=info.center_crop(model_options),
        **keywords,
    )


def published_inputs(root: Path, split: Split, transforms: Any) -> torch.Tensor:
    return torch.stack([transforms(Image.open(root / name).convert("RGB")) for name in split.names])


@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_b0"])
def test_networks_answer_as_under_torchvisions_own_transform(photos: Path, tmp_path: Path, name: str) -> None:
    """Test and validation images, and images that are classified: with the weights' own transform, to 1e-5."""
    torch.manual_seed(0)
    weights = tmp_path / "weights.pth"
    torch.save(torchvision_models.get_model(name, num_classes=1000).state_dict(), weights)
    data = loaded(photos, name, validation=0.3)
    choice = Choice(name, {"pretrained": True, "weights": str(weights)})
    built = build_model(choice, shape=data.input_shape, outputs=2, task="classification")
    preprocessing = built.preprocessing(data.mean, data.std)
    transforms = torchvision_models.get_model_weights(name).DEFAULT.transforms()
    assert data.validation is not None and data.input is not None
    module = built.module.eval()
    for split in (data.test, data.validation):
        inputs = published_inputs(photos, split, transforms)
        own = preprocessing(split.gather(torch.arange(len(split))))
        assert (own - inputs).abs().max() <= 1e-5
        with torch.no_grad():  # some are enough: the inputs are equal
            assert (module(own[::4]) - module(inputs[::4])).abs().max() <= 1e-5
    classified = RunTransform(data.input_shape, preprocessing, data.input)
    opened = [open_image(photos / path) for path in data.test.names]
    inputs = classified.batch([classified.to_tensor(image) for image in opened], torch.device("cpu"))
    assert (inputs - published_inputs(photos, data.test, transforms)).abs().max() <= 1e-5


def test_training_images_are_stored_whole_and_larger(photos: Path) -> None:
    data = loaded(photos, validation=0.3, size=96)
    assert data.train.shape == (3, 110, 110) and data.train.cut is not None and data.train.aspects is not None
    assert data.train.cut.side == 96 and data.train.cut.share == pytest.approx(96 / 110)
    assert data.validation is not None
    assert data.test.shape == data.validation.shape == data.input_shape == (3, 96, 96)
    for name, aspect in zip(data.train.names, data.train.aspects.tolist(), strict=True):
        width, height = image_size(photos / name)
        assert aspect == pytest.approx(width / height, rel=1e-4)
    assert not set(data.train.names) & set(data.validation.names)


def test_a_fold_is_evaluated_as_a_test_split_is(photos: Path) -> None:
    """The held-out fold and the validation data drawn of the others: the pixels that a test split has of them."""
    fold = FoldChoice(count=2, held_out=1, seed=0)
    data = loaded(photos, validation=0.3, fold=fold, size=96)
    assert data.validation is not None and data.train.shape == (3, 110, 110)
    whole = loaded(photos, size=96, test=0.9)
    tested = dict(zip(whole.test.names, whole.test.inputs, strict=True))
    for split in (data.test, data.validation):
        known = [(i, name) for i, name in enumerate(split.names) if name in tested]
        assert len(known) > len(split) / 2
        for index, name in known:
            assert torch.equal(split.sample(index), tested[name]), name
    names = [*data.train.names, *data.validation.names, *data.test.names]
    assert len(names) == len(set(names)) == 2 * 2 * len(SIZES)


def test_the_center_of_a_stored_image_is_about_what_is_evaluated(photos: Path) -> None:
    data, other = loaded(photos, size=96), loaded(photos, size=96, validation=0.5)
    assert other.validation is not None
    evaluated = dict(zip(other.validation.names, other.validation.inputs, strict=True))
    for index, name in enumerate(data.train.names):
        if name in evaluated and min(image_size(photos / name)) >= 200:
            center = data.train.sample(index).float()
            assert (center - evaluated[name].float()).abs().mean() < 5, name


@pytest.mark.parametrize(
    ("model", "options", "store"),
    [
        ("convnet", {}, None),
        ("convnet", {"store": 50}, 50),
        ("resnet18", {"size": 64}, None),
        ("resnet18", {"size": 128}, 147),
        ("resnet18", {"size": 128, "store": 200}, 200),
    ],
)
def test_the_store_follows_the_network_and_the_setting(
    photos: Path, model: str, options: dict[str, int], store: int | None
) -> None:
    data = loaded(photos, model, **options)
    assert data.store == store
    assert data.train.shape[-1] == (store or data.input_shape[-1])


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_images_that_are_not_cropped_are_stored_in_their_own_way(photos: Path, fit: str) -> None:
    data = loaded(photos, size=96, fit=fit)
    assert data.train.cut is not None and data.train.cut.share == 1
    assert data.train.aspects is None and data.input is not None and data.input.crop is None
    wide = next(i for i, name in enumerate(data.train.names) if image_size(photos / name) == (900, 300))
    border = data.train.sample(wide)[:, :20]
    assert bool((border == 0).all()) == (fit == "pad")


def test_caches_are_those_of_the_settings(photos: Path, tmp_path: Path) -> None:
    """Other settings are other files; the same settings decode nothing."""
    cache = tmp_path / "home" / "cache" / "decoded"
    counts = []
    for options in ({}, {"store": 120}, {"fit": "pad"}, {"model_options": {"input_size": 160}}, {}):
        loaded(photos, **options)
        counts.append(len(list(cache.glob("*.u8"))))
    assert counts == [2, 3, 5, 7, 7]
    for path in cache.glob("*.json"):
        path.with_suffix(".u8").write_bytes(b"")  # of another length: it is decoded again
    seen: list[str] = []
    loaded(photos, progress=lambda progress: seen.append(progress.what))
    assert seen[0].startswith("decoding images to 200×200 (JPEG by DCT scaling), to evaluate 224×224 (")


def test_a_preprocessing_of_another_side() -> None:
    images = torch.randint(0, 256, (2, 3, 40, 40), dtype=torch.uint8)
    assert Preprocessing(32, 3, (0.5,), (0.5,)).at_side(24)(images).shape == (2, 3, 24, 24)


def test_large_jpegs_are_decoded_at_a_fraction(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    image = Image.fromarray(noise).resize((1600, 1200), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    whole, scaled = (open_image(tmp_path / "photo.jpg", side) for side in (None, 100))
    assert whole.size == (1200, 1600) and scaled.size == (150, 200)
    small = np.asarray(whole.resize((96, 128), Image.Resampling.BILINEAR)).astype(float)
    assert np.abs(small - np.asarray(scaled.resize((96, 128), Image.Resampling.BILINEAR))).mean() < 3
