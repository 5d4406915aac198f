"""Crops on the device: those of torchvision, each image its own."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from workbench.datasets.augmentation import Augment
from workbench.datasets.augmentation_options import AugmentationOptions
from workbench.datasets.crops import center_boxes, crop_and_resize, random_boxes
from workbench.datasets.dataset import Cut

HEIGHT, WIDTH = 90, 120
IMAGES = torch.randint(
    0, 256, (2, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


@pytest.mark.parametrize(
    ("top", "left", "height", "width", "side"),
    [
        (0, 0, HEIGHT, WIDTH, 32),
        (10, 20, 50, 60, 64),
        (3, 5, 80, 100, 24),
        (40, 40, 20, 20, 96),
        (89, 119, 1, 1, 9),
    ],
)
def test_a_crop_is_that_of_torchvision(top: int, left: int, height: int, width: int, side: int) -> None:
    box = torch.tensor([[left / WIDTH, top / HEIGHT, (left + width) / WIDTH, (top + height) / HEIGHT]] * 2)
    ours = crop_and_resize(IMAGES.float(), box, (side, side)).round()
    theirs = reference.resized_crop(IMAGES, top, left, height, width, [side, side], antialias=True)
    assert (ours - theirs.float()).abs().max() <= 1


def test_random_crops_have_the_area_and_shape_that_were_asked_for() -> None:
    draws = torch.rand(4000, 4, generator=torch.Generator().manual_seed(0))
    aspects = torch.exp(torch.linspace(-1.5, 1.5, 4000))
    left, top, right, bottom = random_boxes(draws, aspects, (0.2, 1.0), (0.5, 2.0)).unbind(1)
    assert min(left.min(), top.min()) >= 0 and max(right.max(), bottom.max()) <= 1 + 1e-6
    area, ratio = (right - left) * (bottom - top), (right - left) * aspects / (bottom - top)
    assert ratio.min() >= 0.5 - 1e-4 and ratio.max() <= 2 + 1e-4
    assert area.max() > 0.95 and area.min() < 0.21
    fits = torch.minimum(aspects, 1 / aspects) > 0.45  # then a fifth of the area fits at any ratio
    assert area[fits].min() >= 0.2 - 1e-4


def test_a_random_crop_of_all_of_an_image_is_the_image() -> None:
    box = random_boxes(torch.ones(1, 4), torch.ones(1), (1.0, 1.0), (1.0, 1.0))
    same = crop_and_resize(IMAGES[:1].float(), box, (HEIGHT, WIDTH))
    assert torch.allclose(same, IMAGES[:1].float(), atol=1e-2)


def test_the_center_of_a_wide_image_is_undistorted() -> None:
    """Stored as a square, an image of 3:1 has its middle third as center."""
    (box,) = center_boxes(torch.tensor([3.0]), 1.0).tolist()
    assert box == pytest.approx([1 / 3, 0, 2 / 3, 1])
    (box,) = center_boxes(torch.tensor([0.5]), 0.8).tolist()
    assert box == pytest.approx([0.1, 0.3, 0.9, 0.7])


def test_inputs_are_cut_out_of_larger_images_with_and_without_crops() -> None:
    square, aspects, draws = IMAGES[..., :HEIGHT], torch.tensor([1.0, 2.0]), torch.rand(2, 5)
    for names in (["resized-crop", "flip"], ["flip"]):
        augment = Augment(names, AugmentationOptions(crop_scale=0.1))
        cut = augment(square, draws[:, : augment.columns], Cut(24, 0.9), aspects)
        assert cut.shape == (2, 3, 24, 24) and cut.dtype == torch.uint8
    flips = torch.ones(2, 1)
    center = Augment(["flip"])(square, flips, Cut(24, 0.9), aspects)
    expected = crop_and_resize(square.float(), center_boxes(aspects, 0.9), (24, 24)).round()
    assert torch.equal(center.float(), expected)
