"""Previews of a dataset for display: facts, samples, and the effect of transforms on an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.core.errors import UserError, did_you_mean
from workbench.core.text import one_line
from workbench.datasets.augmentation import Augment
from workbench.datasets.dataset import Dataset, Split
from workbench.datasets.dataset_facts import DatasetFacts, ElementFacts, SkippedFiles, SplitFacts, TensorFacts
from workbench.datasets.drawing import derived_seed
from workbench.datasets.image_transform import to_pixels
from workbench.datasets.input_record import InputRecord
from workbench.datasets.transform_catalog import NOISE_INDEX, TRANSFORMS_BY_NAME

Chain = Sequence[tuple[str, float | None]]
"""Transforms by name, each with the value of its parameter (`None`: its default)."""

_NOISE_SIDE = 96
_RANGE_SAMPLES = 1000
"""The value range of float images is measured on this many samples."""


def has_images(data: Dataset) -> bool:
    """Whether the inputs can be displayed as images: [N, 1 or 3, H, W]."""
    return data.train.inputs.ndim == 4 and data.train.inputs.shape[1] in {1, 3}


def describe(data: Dataset, batch: int) -> DatasetFacts:
    """Facts about the dataset, including the shape of a batch of at most `batch` training samples."""
    mean, std = (data.mean, data.std) if data.mean else _moments(data.train.inputs)
    return DatasetFacts(
        task=data.task,
        classes=tuple(data.classes),
        has_images=has_images(data),
        splits={name: _split_facts(split, len(data.classes)) for name, split in data.splits.items()},
        input=_element_facts(data.test.inputs),
        target=_element_facts(data.train.targets),
        batch=(min(batch, len(data.train)), *data.input_shape),
        mean=tuple(round(value, 6) for value in mean),
        std=tuple(round(value, 6) for value in std),
        source=data.source,
        skipped=SkippedFiles.of(data.skipped_files),
        notices=data.notices,
    )


def _split_facts(split: Split, classes: int) -> SplitFacts:
    per_class = torch.bincount(split.targets, minlength=classes).tolist() if classes else []
    return SplitFacts(len(split), tuple(per_class))


def _element_facts(values: Tensor) -> ElementFacts:
    return ElementFacts(tuple(values.shape[1:]), dtype_name(values.dtype))


def _moments(inputs: Tensor, max_features: int = 4) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the first features (of the channels, if there are any)."""
    values = inputs.float()
    values = values.transpose(0, 1).flatten(1) if values.ndim > 1 else values[None]
    return values.mean(1).tolist()[:max_features], values.std(1, correction=0).tolist()[:max_features]


def dtype_name(dtype: torch.dtype) -> str:
    """The name of a dtype without `torch.`: `uint8`."""
    return str(dtype).removeprefix("torch.")


def tensor_facts(values: Tensor) -> TensorFacts:
    """Shape, dtype, range and mean of a tensor."""
    floats = values.float()
    return TensorFacts(
        tuple(values.shape),
        dtype_name(values.dtype),
        low=float(floats.min()),
        high=float(floats.max()),
        mean=float(floats.mean()),
    )


def class_indices(split: Split, label: int | None) -> Sequence[int]:
    """Indices of the samples of a class, or of all samples in the order to display them.

    All samples come in stored order, unless they are stored class by class: those are shuffled, in the same way each
    time, so that a page shows several classes.
    """
    if label is not None:
        return [int(index) for index in (split.targets == label).nonzero()[:, 0]]
    sorted_by_class = not split.targets.is_floating_point() and bool((split.targets.diff() >= 0).all())
    if not sorted_by_class:
        return range(len(split))
    generator = torch.Generator().manual_seed(derived_seed(0, "shown order"))
    return [int(index) for index in torch.randperm(len(split), generator=generator)]


def noise_image() -> Tensor:
    """Uniform noise, uint8 [3, 96, 96], the same each time."""
    generator = torch.Generator().manual_seed(derived_seed(0, "noise"))
    shape = (3, _NOISE_SIDE, _NOISE_SIDE)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def input_at(split: Split, index: int) -> Tensor:
    """One input; `NOISE_INDEX` is the noise image. Raises `UserError` for an index out of range."""
    if index == NOISE_INDEX:
        return noise_image()
    if not 0 <= index < len(split):
        raise UserError(f"there is no sample {index}: indices range from 0 to {len(split) - 1}")
    return split.sample(index)


def image_at(data: Dataset, split: Split, index: int) -> Tensor:
    """An image [C, H, W] to display and to transform: uint8, or float scaled to 0..1.

    Floats that are known to be scaled pixels become those. Other floats within 0..1 or 0..255 are only scaled; others
    were normalized before and are mapped back by the value range of the images in the dataset.
    """
    values = input_at(split, index)
    pixels = to_pixels(values, data.input or InputRecord())
    if pixels is not None:
        return pixels
    measured = data.train.inputs[:_RANGE_SAMPLES].float()
    low, high = float(measured.min()), float(measured.max())
    if low >= 0 and high <= 255:
        return values.float() / (1 if high <= 1 else 255)
    return ((values.float() - low) / (high - low)).clamp(0, 1)


def to_pil(values: Tensor) -> Image.Image:
    """The PIL image of a tensor [C, H, W], uint8 or float from 0 to 1."""
    if values.dtype != torch.uint8:
        values = (values * 255).round().clamp(0, 255).to(torch.uint8)
    array = values.numpy()
    return Image.fromarray(np.ascontiguousarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0)))


def _channelwise(values: Sequence[float], channels: int) -> Tensor:
    fitted = values if len(values) == channels else [sum(values) / len(values)] * channels
    return torch.tensor(list(fitted)).view(-1, 1, 1)


def apply_transforms(image: Tensor, chain: Chain, seed: int, data: Dataset) -> tuple[Tensor, Image.Image]:
    """The result of a chain of transforms on an image [C, H, W], as a tensor and as an image to display.

    `seed` determines the random parameters. `normalize` is applied last, whatever its position, and reverted for the
    displayed image. Raises `UserError` for an unknown transform.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "preview"))
        for name, value in chain:
            if name != "normalize":
                image = _build_transform(name, value, image)(image)
    if not data.mean or all(name != "normalize" for name, _ in chain):
        return image, to_pil(image)
    mean, std = _channelwise(data.mean, len(image)), _channelwise(data.std, len(image))
    scaled = image / 255 if image.dtype == torch.uint8 else image
    normalized = (scaled - mean) / std
    return normalized, to_pil(normalized * std + mean)


def apply_augmentation(image: Tensor, augment: Augment, seed: int) -> Tensor:
    """An image [C, H, W] augmented as in training; `seed` determines the random parameters."""
    return augment(image[None], augment.draws(1, derived_seed(seed, "preview")))[0]


def augmented_at(data: Dataset, split: Split, index: int, augment: Augment, seed: int) -> Tensor:
    """An image augmented as in training, as `image_at`; one that is stored larger is cropped as there."""
    if split.cut is None or index == NOISE_INDEX:
        return apply_augmentation(image_at(data, split, index), augment, seed)
    chosen = torch.tensor([index])
    aspects = None if split.aspects is None else split.aspects[chosen]
    draws = augment.draws(1, derived_seed(seed, "preview"))
    return augment(split.gather(chosen), draws, split.cut, aspects)[0]


def _build_transform(name: str, value: float | None, image: Tensor) -> Callable[[Tensor], Tensor]:
    if name not in TRANSFORMS_BY_NAME:
        raise UserError(
            f"unknown transform '{name}'{did_you_mean(name, TRANSFORMS_BY_NAME)}; known: "
            f"{', '.join(TRANSFORMS_BY_NAME)}"
        )
    parameter = TRANSFORMS_BY_NAME[name].parameter
    if parameter is not None:
        value = parameter.default if value is None else value
        value = min(parameter.high, max(parameter.low, value))
    transform: Callable[[Tensor], Tensor] = _BUILDERS[name](value, image)
    return transform


def _v2() -> Any:
    try:
        from torchvision.transforms import v2  # noqa: PLC0415 - takes five seconds
    except Exception as error:
        raise UserError(
            f"torchvision, which provides the transforms, can't be imported: {one_line(error)}"
        ) from None
    return v2


def _sides(image: Tensor) -> list[int]:
    return list(image.shape[-2:])


def _crop(percent: float, image: Tensor) -> Any:
    return _v2().RandomCrop(_sides(image), padding=round(percent / 100 * min(_sides(image))))


def _resized_crop(percent: float, image: Tensor) -> Any:
    return _v2().RandomResizedCrop(_sides(image), scale=(percent / 100, 1.0), antialias=True)


def _jitter(strength: float, image: Tensor) -> Any:
    # Grayscale images have neither saturation nor hue.
    colors = {"saturation": strength, "hue": strength / 4} if len(image) == 3 else {}
    return _v2().ColorJitter(brightness=strength, contrast=strength, **colors)


def _affine(degrees: float, _: Tensor) -> Any:
    return _v2().RandomAffine(degrees, translate=(0.1, 0.1), scale=(0.8, 1.2), shear=degrees)


def _blur(deviation: float, image: Tensor) -> Any:
    # The image is padded by reflection, which can't exceed its own size.
    radius = max(1, min(math.ceil(3 * deviation), min(_sides(image)) - 1))
    return _v2().GaussianBlur(2 * radius + 1, sigma=deviation)


def _erasing(percent: float, _: Tensor) -> Any:
    return _v2().RandomErasing(p=1.0, scale=(percent / 200, percent / 100))


_BUILDERS: Mapping[str, Callable[[Any, Tensor], Any]] = {
    "rotation": lambda degrees, _: _v2().RandomRotation(degrees),
    "hflip": lambda chance, _: _v2().RandomHorizontalFlip(chance),
    "vflip": lambda chance, _: _v2().RandomVerticalFlip(chance),
    "crop": _crop,
    "resized-crop": _resized_crop,
    "color-jitter": _jitter,
    "affine": _affine,
    "perspective": lambda distortion, _: _v2().RandomPerspective(distortion, p=1.0),
    "blur": _blur,
    "erasing": _erasing,
    "grayscale": lambda chance, _: _v2().RandomGrayscale(chance),
    "auto-contrast": lambda chance, _: _v2().RandomAutocontrast(chance),
    "rand-augment": lambda magnitude, _: _v2().RandAugment(magnitude=round(magnitude)),
}
