from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workbench.core.errors import BadInput
from workbench.datasets import mixup
from workbench.datasets.augmentation import NAMES, Augment
from workbench.datasets.mixup import Mix, partners

OWN = [name for name in NAMES if name not in mixup.NAMES]


@pytest.fixture
def pictures() -> Tensor:
    return torch.randint(
        0, 256, (12, 3, 9, 11), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize("name", OWN)
def test_a_picture_depends_on_its_draws_alone(pictures: Tensor, name: str) -> None:
    augment = Augment([name])
    draws = augment.draws(12, seed=1)
    whole = augment(pictures, draws)
    assert whole.dtype == torch.uint8
    assert whole.shape == pictures.shape
    assert not torch.equal(whole, pictures)
    for some in (slice(0, 1), slice(3, 8)):
        assert torch.equal(augment(pictures[some], draws[some]), whole[some])


@pytest.mark.parametrize("name", OWN)
def test_float_pictures_are_treated_alike(pictures: Tensor, name: str) -> None:
    augment = Augment([name])
    draws = augment.draws(12, seed=1)
    as_float = augment(pictures / 255, draws)
    assert as_float.dtype == torch.float32
    assert (as_float * 255 - augment(pictures, draws).float()).abs().max() <= 0.51


def test_draws_are_a_function_of_the_seed() -> None:
    augment = Augment(["crop", "colour"])
    assert augment.columns == 5
    assert torch.equal(augment.draws(7, 3), augment.draws(7, 3))
    assert not torch.equal(augment.draws(7, 3), augment.draws(7, 4))


def test_flips(pictures: Tensor) -> None:
    low, high = torch.zeros(12, 1), torch.full((12, 1), 0.9)
    assert torch.equal(Augment(["flip"])(pictures, low), pictures.flip(-1))
    assert torch.equal(Augment(["vflip"])(pictures, low), pictures.flip(-2))
    assert torch.equal(Augment(["flip"])(pictures, high), pictures)


def test_crop_shifts_by_up_to_four_and_fills_with_black(pictures: Tensor) -> None:
    crop = Augment(["crop"])
    assert torch.equal(crop(pictures, torch.full((12, 2), 0.5)), pictures)
    shifted = crop(pictures, torch.zeros(12, 2))
    assert torch.equal(shifted[:, :, 4:, 4:], pictures[:, :, :-4, :-4])
    assert not shifted[:, :, :4].any()
    most = crop(pictures, torch.full((12, 2), 0.99999))
    assert torch.equal(most[:, :, :-4, :-4], pictures[:, :, 4:, 4:])


def test_no_turn_and_no_change_of_colour_leave_pictures_alone(pictures: Tensor) -> None:
    for name, columns in (("rotate", 1), ("colour", 3)):
        same = Augment([name])(pictures, torch.full((12, columns), 0.5))
        assert (same.int() - pictures.int()).abs().max() <= 1


def test_rotation_turns_about_the_centre() -> None:
    picture = torch.zeros(1, 1, 21, 21, dtype=torch.uint8)
    picture[0, 0, 10, :] = 255
    turned = Augment(["rotate"])(picture, torch.ones(1, 1))[0, 0]
    assert turned[10, 10] > 200
    # 15 degrees lift the line's end by 10 * tan(15°), about 2.7 pixels.
    assert int(turned[:, 20].argmax()) in {7, 8, 12, 13}


def test_erasing_covers_what_it_says(pictures: Tensor) -> None:
    big = torch.full((1, 3, 100, 100), 7, dtype=torch.uint8)
    big[:, :, :, ::2] = 201
    draws = torch.tensor([[0.1, 1.0, 0.5, 0.5, 0.5]])
    erased = Augment(["erase"])(big, draws)
    assert 0.15 < (erased[0, 0] == 104).float().mean() < 0.25
    draws[0, 0] = 0.9
    assert torch.equal(Augment(["erase"])(big, draws), big)


def test_an_unknown_name_is_met_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"no 'rotat' \(did you mean 'rotate'\?\)"):
        Augment(["flip", "rotat"])


def test_translation_by_two_pixels_mirrors_the_border(pictures: Tensor) -> None:
    translate = Augment(["translate"])
    assert torch.equal(translate(pictures, torch.full((12, 2), 0.5)), pictures)
    shifted = translate(pictures, torch.zeros(12, 2))
    assert torch.equal(shifted[:, :, 2:, 2:], pictures[:, :, :-2, :-2])
    assert torch.equal(shifted[:, :, 0, 2:], pictures[:, :, 2, :-2])


def test_alternating_flips_show_every_picture_both_ways(pictures: Tensor) -> None:
    flip = Augment(["colour", "altflip"])
    flipped = [flip.draws(1000, seed=1, epoch=epoch)[:, 3] < 0.5 for epoch in range(3)]
    assert 400 < int(flipped[0].sum()) < 600
    assert torch.equal(flipped[1], ~flipped[0])
    assert torch.equal(flipped[2], flipped[0])


def mixed(name: str, share: float) -> tuple[Tensor, Tensor, Tensor]:
    pictures = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    draws = torch.tensor([[0.5, share, 0.5, 0.5]] * 2)
    return Mix([name], 4)(pictures, torch.tensor([1, 3]), draws, torch.tensor([1, 0]))


@pytest.mark.parametrize("name", mixup.NAMES)
@pytest.mark.parametrize("share", [0.75, 0.25])
def test_targets_say_how_much_of_each_is_to_be_seen(name: str, share: float) -> None:
    pictures, labels, soft = mixed(name, share)
    seen = pictures.mean((1, 2, 3))
    assert torch.allclose(soft[0], torch.tensor([0, 1 - seen[0], 0, seen[0]]))
    assert soft.sum(1).tolist() == [1, 1]
    assert labels.tolist() == ([1, 3] if share > 0.5 else [3, 1])
    if name == "mixup":
        assert torch.allclose(seen[0], torch.tensor(1 - share))
        assert pictures[0].unique().numel() == 1
    else:
        assert pictures.unique().tolist() == [0, 1]
        assert float(seen[0]) == pytest.approx(1 - share, abs=0.2)


def test_partners_are_of_the_same_batch() -> None:
    assert partners([(6, 9), (9, 11)]).tolist() == [2, 1, 0, 4, 3]


def test_of_two_ways_to_mix_a_draw_chooses() -> None:
    augment = Augment(["flip", "mixup", "cutmix"])
    draws = augment.draws(400, seed=0)
    assert (augment.columns, draws.shape[1]) == (1, 5)
    mixer = augment.mix(2)
    assert mixer is not None
    others = torch.arange(399, -1, -1)
    pictures = torch.tensor([0.0, 1.0]).repeat(200)[:, None, None, None].expand(-1, 1, 8, 8)
    mixture, _, _ = mixer(pictures, torch.tensor([0, 1]).repeat(200), draws[:, 1:], others)
    whole = (mixture.amax((1, 2, 3)) == mixture.amin((1, 2, 3))).float().mean()
    assert 0.4 < whole < 0.65
    assert Augment(["flip"]).mix(2) is None
