"""RandAugment and TrivialAugmentWide: each operation as torchvision's `transforms.v2` applies it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as reference

from workbench.datasets import random_ops
from workbench.datasets.augmentation import Augment
from workbench.datasets.augmentation_options import AugmentationOptions
from workbench.datasets.hue import shift_hue
from workbench.datasets.random_ops import BINS, Operation, apply_operations

HEIGHT, WIDTH = 40, 56
CPU = torch.device("cpu")
SPACES: dict[str, Any] = {"wide": v2.TrivialAugmentWide(), "rand": v2.RandAugment()}


@pytest.fixture(params=[1, 3])
def images(request: pytest.FixtureRequest) -> Tensor:
    """Smooth images, one for each operation."""
    coarse = torch.rand(len(Operation), request.param, 9, 13, generator=torch.Generator().manual_seed(0))
    return (torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bilinear") * 255).to(torch.uint8)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("index", [0, 7, 17, BINS - 1])
@pytest.mark.parametrize("space", SPACES)
def test_operations_are_torchvisions(images: Tensor, space: str, index: int, sign: int) -> None:
    theirs, operations = SPACES[space], torch.arange(len(Operation))
    magnitudes = random_ops._magnitudes(space, HEIGHT, WIDTH, CPU)[operations, index]
    signed = random_ops._signed_operations(CPU)
    ours = apply_operations(images.float(), operations, torch.where(signed, sign * magnitudes, magnitudes))
    for operation, image, result in zip(Operation, images, ours, strict=True):
        name = "".join(word.capitalize() for word in operation.name.split("_"))
        values, is_signed = theirs._AUGMENTATION_SPACE[name]
        table = values(BINS, HEIGHT, WIDTH)
        magnitude = 0.0 if table is None else float(table[index]) * (sign if is_signed else 1)
        expected = theirs._apply_image_or_video_transform(
            image, name, magnitude, interpolation=theirs.interpolation, fill=theirs._fill
        )
        apart = (result - expected.float()).abs() > 1
        # The pixel that is nearest may be another one by rounding.
        assert apart.float().mean() <= (0.01 if operation is Operation.ROTATE else 0), (name, magnitude)


def test_every_operation_and_magnitude_is_drawn() -> None:
    draws = torch.rand(4000, 3, generator=torch.Generator().manual_seed(1))
    flat = torch.arange(256, dtype=torch.uint8).repeat(4000, 1, 1, 1).expand(-1, 1, 4, 256)
    changed = Augment(["trivial-augment"])(flat, draws)
    assert not torch.equal(changed, flat)
    operations = random_ops._choose(draws[:, 0], len(Operation))
    assert operations.unique().tolist() == list(range(len(Operation)))
    assert torch.equal(changed[operations == 0], flat[operations == 0])


def test_operations_and_magnitude_of_rand_augment_are_settings() -> None:
    images = torch.randint(0, 256, (64, 3, 16, 16), dtype=torch.uint8)
    weak, strong = (AugmentationOptions(rand_ops=1, rand_magnitude=m) for m in (1, 30))
    draws = Augment(["rand-augment"], weak).draws(64, seed=0)
    assert draws.shape == (64, 2)
    assert Augment(["rand-augment"], AugmentationOptions(rand_ops=3)).columns == 6
    few, many = (Augment(["rand-augment"], o)(images, draws).float() for o in (weak, strong))
    assert (few - images).abs().mean() < (many - images).abs().mean()


@pytest.mark.parametrize("shift", [-0.5, -0.2, 0.0, 0.33, 0.5])
def test_hue_is_shifted_as_by_torchvision(shift: float) -> None:
    images = torch.randint(0, 256, (4, 3, 9, 7), dtype=torch.uint8)
    ours = shift_hue(images.float(), torch.full((4,), shift))
    assert (ours - reference.adjust_hue(images, shift).float()).abs().max() <= 1
    gray = images[:, :1].float()
    assert torch.equal(shift_hue(gray, torch.full((4,), shift)), gray)


def test_jitter_and_rotation_are_as_strong_as_their_settings() -> None:
    image = torch.randint(0, 256, (1, 3, 21, 21), dtype=torch.uint8)
    still = AugmentationOptions(jitter=0, rotate_degrees=0)
    assert torch.equal(Augment(["colour", "rotate"], still)(image, torch.rand(1, 4)), image)
    bright = Augment(["colour"], AugmentationOptions(jitter=0.9))(image, torch.tensor([[1.0, 0.5, 0.5]]))
    assert (bright.float() - reference.adjust_brightness(image, 1.9).float()).abs().max() <= 1
    turned = Augment(["rotate"], AugmentationOptions(rotate_degrees=90))(image, torch.ones(1, 1))
    expected = reference.rotate(image, 90)
    assert (turned.float() - expected.float()).abs().max() <= 1


def test_blur_and_grayscale_are_torchvisions() -> None:
    image = torch.randint(0, 256, (1, 3, 30, 40), dtype=torch.uint8)
    blurred = Augment(["blur"])(image, torch.tensor([[0.2, (1.3 - 0.1) / 1.9]]))
    assert (blurred.float() - reference.gaussian_blur(image, [13, 13], [1.3, 1.3]).float()).abs().max() <= 1
    assert torch.equal(Augment(["blur"])(image, torch.tensor([[0.7, 0.5]])), image)
    gray = Augment(["grayscale"])(image, torch.tensor([[0.1]]))
    assert (gray.float() - reference.rgb_to_grayscale(image, 3).float()).abs().max() <= 1
    assert torch.equal(Augment(["grayscale"])(image, torch.tensor([[0.5]])), image)
