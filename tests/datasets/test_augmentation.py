from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workbench.core.errors import UserError
from workbench.datasets import mixup
from workbench.datasets.augmentation import NAMES, Augment
from workbench.datasets.mixup import Mix, mixing_partners

OWN = [name for name in NAMES if name not in mixup.NAMES]


@pytest.fixture
def images() -> Tensor:
    return torch.randint(
        0, 256, (12, 3, 9, 11), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize("name", OWN)
def test_an_image_depends_on_its_draws_alone(images: Tensor, name: str) -> None:
    augment = Augment([name])
    draws = augment.draws(12, seed=1)
    whole = augment(images, draws)
    assert whole.dtype == torch.uint8
    assert whole.shape == images.shape
    assert not torch.equal(whole, images)
    for some in (slice(0, 1), slice(3, 8)):
        assert torch.equal(augment(images[some], draws[some]), whole[some])


@pytest.mark.parametrize("name", OWN)
def test_float_images_are_treated_alike(images: Tensor, name: str) -> None:
    augment = Augment([name])
    draws = augment.draws(12, seed=1)
    as_float = augment(images / 255, draws)
    assert as_float.dtype == torch.float32
    assert (as_float * 255 - augment(images, draws).float()).abs().max() <= 0.51


def test_draws_are_a_function_of_the_seed() -> None:
    augment = Augment(["crop", "colour"])
    assert augment.columns == 5
    assert torch.equal(augment.draws(7, 3), augment.draws(7, 3))
    assert not torch.equal(augment.draws(7, 3), augment.draws(7, 4))


def test_flips_mirror_images(images: Tensor) -> None:
    low, high = torch.zeros(12, 1), torch.full((12, 1), 0.9)
    assert torch.equal(Augment(["flip"])(images, low), images.flip(-1))
    assert torch.equal(Augment(["vflip"])(images, low), images.flip(-2))
    assert torch.equal(Augment(["flip"])(images, high), images)


def test_crop_shifts_by_up_to_four_and_fills_with_black(images: Tensor) -> None:
    crop = Augment(["crop"])
    assert torch.equal(crop(images, torch.full((12, 2), 0.5)), images)
    shifted = crop(images, torch.zeros(12, 2))
    assert torch.equal(shifted[:, :, 4:, 4:], images[:, :, :-4, :-4])
    assert not shifted[:, :, :4].any()
    most = crop(images, torch.full((12, 2), 0.99999))
    assert torch.equal(most[:, :, :-4, :-4], images[:, :, 4:, 4:])


def test_no_turn_and_no_change_of_color_leave_images_alone(images: Tensor) -> None:
    for name, columns in (("rotate", 1), ("colour", 3)):
        same = Augment([name])(images, torch.full((12, columns), 0.5))
        assert (same.int() - images.int()).abs().max() <= 1


def test_rotation_turns_about_the_center() -> None:
    image = torch.zeros(1, 1, 21, 21, dtype=torch.uint8)
    image[0, 0, 10, :] = 255
    turned = Augment(["rotate"])(image, torch.ones(1, 1))[0, 0]
    assert turned[10, 10] > 200
    # 15 degrees lift the line's end by 10 * tan(15°), about 2.7 pixels.
    assert int(turned[:, 20].argmax()) in {7, 8, 12, 13}


def test_erasing_covers_the_given_share(images: Tensor) -> None:
    big = torch.full((1, 3, 100, 100), 7, dtype=torch.uint8)
    big[:, :, :, ::2] = 201
    draws = torch.tensor([[0.1, 1.0, 0.5, 0.5, 0.5]])
    erased = Augment(["erase"])(big, draws)
    assert 0.15 < (erased[0, 0] == 104).float().mean() < 0.25
    draws[0, 0] = 0.9
    assert torch.equal(Augment(["erase"])(big, draws), big)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"unknown augmentation 'rotat' \(did you mean 'rotate'\?\)"):
        Augment(["flip", "rotat"])


def test_translation_by_two_pixels_mirrors_the_border(images: Tensor) -> None:
    translate = Augment(["translate"])
    assert torch.equal(translate(images, torch.full((12, 2), 0.5)), images)
    shifted = translate(images, torch.zeros(12, 2))
    assert torch.equal(shifted[:, :, 2:, 2:], images[:, :, :-2, :-2])
    assert torch.equal(shifted[:, :, 0, 2:], images[:, :, 2, :-2])


def test_alternating_flips_show_every_image_both_ways(images: Tensor) -> None:
    flip = Augment(["colour", "altflip"])
    flipped = [flip.draws(1000, seed=1, epoch=epoch)[:, 3] < 0.5 for epoch in range(3)]
    assert 400 < int(flipped[0].sum()) < 600
    assert torch.equal(flipped[1], ~flipped[0])
    assert torch.equal(flipped[2], flipped[0])


def mixed(name: str, share: float) -> tuple[Tensor, Tensor, Tensor]:
    images = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    draws = torch.tensor([[0.5, share, 0.5, 0.5]] * 2)
    return Mix([name], 4)(images, torch.tensor([1, 3]), draws, torch.tensor([1, 0]))


@pytest.mark.parametrize("name", mixup.NAMES)
@pytest.mark.parametrize("share", [0.75, 0.25])
def test_targets_say_how_much_of_each_is_to_be_seen(name: str, share: float) -> None:
    images, labels, soft = mixed(name, share)
    seen = images.mean((1, 2, 3))
    assert torch.allclose(soft[0], torch.tensor([0, 1 - seen[0], 0, seen[0]]))
    assert soft.sum(1).tolist() == [1, 1]
    assert labels.tolist() == ([1, 3] if share > 0.5 else [3, 1])
    if name == "mixup":
        assert torch.allclose(seen[0], torch.tensor(1 - share))
        assert images[0].unique().numel() == 1
    else:
        assert images.unique().tolist() == [0, 1]
        assert float(seen[0]) == pytest.approx(1 - share, abs=0.2)


def test_partners_are_of_the_same_batch() -> None:
    assert mixing_partners([(6, 9), (9, 11)]).tolist() == [2, 1, 0, 4, 3]


def test_of_two_ways_to_mix_a_draw_chooses() -> None:
    augment = Augment(["flip", "mixup", "cutmix"])
    draws = augment.draws(400, seed=0)
    assert (augment.columns, draws.shape[1]) == (1, 5)
    mixer = augment.mixer(2)
    assert mixer is not None
    others = torch.arange(399, -1, -1)
    images = torch.tensor([0.0, 1.0]).repeat(200)[:, None, None, None].expand(-1, 1, 8, 8)
    mixture, _, _ = mixer(images, torch.tensor([0, 1]).repeat(200), draws[:, 1:], others)
    whole = (mixture.amax((1, 2, 3)) == mixture.amin((1, 2, 3))).float().mean()
    assert 0.4 < whole < 0.65
    assert Augment(["flip"]).mixer(2) is None
