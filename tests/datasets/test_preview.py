"""The preview of a dataset: facts that match its tensors, and transforms that do what their names say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workbench.core.errors import UserError
from workbench.datasets import preview
from workbench.datasets.augmentation import Augment
from workbench.datasets.dataset import Dataset, Split, with_statistics
from workbench.datasets.dataset_facts import ElementFacts, SplitFacts
from workbench.datasets.transform_catalog import TRANSFORMS, TRANSFORMS_BY_NAME


def made(inputs: Tensor, mean: tuple[float, ...] = (), std: tuple[float, ...] = ()) -> Dataset:
    targets = torch.arange(len(inputs)) % 2
    split = Split(inputs, targets)
    return Dataset(
        "classification", ("even", "odd"), split, None, split, mean, std, skipped_files=(("x", "y"),)
    )


def images(channels: int, height: int = 12, width: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (9, channels, height, width), generator=generator, dtype=torch.uint8)


def pixels(image: object) -> Tensor:
    import numpy as np

    array = torch.from_numpy(np.array(image))
    return array[None] if array.ndim == 2 else array.permute(2, 0, 1)


def test_facts_of_a_dataset() -> None:
    x = images(3)
    facts = preview.describe(with_statistics(made(x)), batch=4)
    assert facts.splits == {"train": SplitFacts(9, (5, 4)), "test": SplitFacts(9, (5, 4))}
    assert (facts.input, facts.batch) == (ElementFacts((3, 12, 12), "uint8"), (4, 3, 12, 12))
    assert facts.mean == pytest.approx((x.float() / 255).mean((0, 2, 3)).tolist(), abs=1e-5)
    assert facts.has_images and facts.skipped.count == 1
    assert preview.describe(made(x), batch=100).batch[0] == 9
    values = preview.describe(made(torch.tensor([[1.0, 5.0], [3.0, 5.0]])), batch=2)
    assert not values.has_images and (values.mean, values.std) == ((2.0, 5.0), (1.0, 0.0))


def test_the_examples_of_a_class() -> None:
    split = made(images(1)).train
    assert preview.class_indices(split, 1) == [1, 3, 5, 7] and len(preview.class_indices(split, None)) == 9
    in_order = Split(split.inputs, split.targets.sort().values)
    mixed = list(preview.class_indices(in_order, None))
    assert sorted(mixed) == list(range(9)) != mixed
    assert mixed == preview.class_indices(in_order, None)
    assert preview.input_at(split, preview.NOISE_INDEX).shape == (3, 96, 96)
    with pytest.raises(UserError, match="from 0 to 8"):
        preview.input_at(split, 9)


@pytest.mark.parametrize(
    ("stored", "scale"),
    [
        (lambda x: x.float() / 255, "0..1"),
        (lambda x: x.float(), "0..255"),
        (lambda x: x.float() / 127.5 - 1, "normalized by half"),
        (lambda x: (x.float() / 255 - 0.1307) / 0.3081, "normalized as MNIST is"),
    ],
)
def test_float_images_come_back_to_what_they_were(stored: object, scale: str) -> None:
    x = images(1)
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 0, 255
    data = made(stored(x))  # type: ignore[operator]
    for index in (0, 5):
        shown = pixels(preview.to_pil(preview.image_at(data, data.train, index)))
        assert (shown.int() - x[index].int()).abs().max() <= 1, scale


@pytest.mark.parametrize("name", TRANSFORMS_BY_NAME)
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 32, 20)])
def test_every_transform_takes_grayscale_and_color_at_all_its_settings(
    name: str, channels: int, height: int, width: int
) -> None:
    x = images(channels, height, width)
    data = with_statistics(made(x))
    parameter = TRANSFORMS_BY_NAME[name].parameter
    for value in (None, parameter.low, parameter.high) if parameter else (None,):
        for pixels in (x[0], x[0] / 255, preview.noise_image()):
            values, image = preview.apply_transforms(pixels, [(name, value)], 3, data)
            assert image.size == (pixels.shape[2], pixels.shape[1]) and values.shape == pixels.shape


CHANGES = sorted(set(TRANSFORMS_BY_NAME) - {"normalize", "auto-contrast"})


@pytest.mark.parametrize("name", CHANGES)
def test_every_transform_changes_an_image(name: str) -> None:
    x = images(3, 24, 24)
    results = [preview.apply_transforms(x[0], [(name, None)], seed, made(x))[0] for seed in range(4)]
    assert any(not torch.equal(result, x[0]) for result in results)


def test_flips_grayscale_and_auto_contrast_do_exactly_what_they_say() -> None:
    x = images(3) // 2
    data = made(x)

    def after(*chain: tuple[str, float | None]) -> Tensor:
        return preview.apply_transforms(x[0], chain, 0, data)[0]

    assert torch.equal(after(("hflip", 1)), x[0].flip(-1))
    assert torch.equal(after(("hflip", 0)), x[0])
    assert torch.equal(after(("hflip", 1), ("vflip", 1)), x[0].flip(-1).flip(-2))
    assert (after(("grayscale", 1)) == after(("grayscale", 1))[:1]).all()
    assert after(("auto-contrast", 1)).max() >= 254 and x[0].max() < 128


def test_sampled_images_depend_on_the_seed_alone() -> None:
    x = images(3)
    data, chain = made(x), [("rotation", 45.0), ("crop", None)]
    first = preview.apply_transforms(x[0], chain, 1, data)[0]
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert torch.equal(preview.apply_transforms(x[0], chain, 1, data)[0], first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(preview.apply_transforms(x[0], chain, 2, data)[0], first)


def test_a_larger_parameter_does_more() -> None:
    x = images(3)
    black = [
        (preview.apply_transforms(x[0] | 1, [("erasing", value)], 1, made(x))[0] == 0).float().mean().item()
        for value in (5.0, 80.0)
    ]
    assert 0 < black[0] <= 0.06 and 0.35 < black[1] <= 0.85


def test_normalized_values_are_shown_and_drawn_as_they_were() -> None:
    x = images(3)
    data = with_statistics(made(x))
    values, image = preview.apply_transforms(x[0], [("normalize", None)], 0, data)
    assert values.dtype == torch.float32 and abs(float(values.mean())) < 0.2
    assert torch.equal(pixels(image), x[0])


def test_the_experiments_augmentation() -> None:
    x = images(3)
    assert torch.equal(preview.apply_augmentation(x[0], Augment([]), 0), x[0])
    draws = [preview.apply_augmentation(x[0], Augment(["flip"]), seed) for seed in range(12)]
    assert {torch.equal(d, x[0]) for d in draws} == {True, False}
    assert all(torch.equal(d, x[0]) or torch.equal(d, x[0].flip(-1)) for d in draws)


def test_unknown_transforms_are_named() -> None:
    with pytest.raises(UserError, match=r"unknown transform 'rotate'.*rotation"):
        preview.apply_transforms(images(1)[0], [("rotate", 1)], 0, made(images(1)))


def test_parameters_stay_within_their_limits() -> None:
    for transform in TRANSFORMS:
        parameter = transform.parameter
        if parameter is not None:
            assert parameter.low <= parameter.default <= parameter.high
            assert parameter.stepped(parameter.default, 1000) == parameter.high
            assert parameter.stepped(parameter.default, -1000) == parameter.low
