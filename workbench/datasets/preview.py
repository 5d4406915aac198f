"""A dataset as a person looks at it: facts, samples, and what transforms do to a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.core.errors import BadInput, nearest
from workbench.core.text import one_line
from workbench.datasets.augmentation import Augment
from workbench.datasets.dataset import Data, Split, derived_seed
from workbench.datasets.dataset_facts import DatasetFacts, ElementFacts, SplitFacts, TensorFacts
from workbench.datasets.transform_catalog import BY_NAME

Chain = Sequence[tuple[str, float | None]]
"""Transforms by name, each with the value of its parameter (`None`: its default)."""

NOISE = -1
"""The index of the picture of noise, which stands before the samples of every dataset of pictures."""
_NOISE_SIDE = 96
_MEASURED = 1000
"""The range of float pictures is taken from so many examples."""


def has_pictures(data: Data) -> bool:
    """Whether the inputs can be drawn: [N, 1 or 3, H, W]."""
    return data.train.inputs.ndim == 4 and data.train.inputs.shape[1] in {1, 3}


def describe(data: Data, batch: int) -> DatasetFacts:
    """What the dataset consists of, with the shape of a batch of `batch` training examples at most."""
    inputs, targets = data.train.inputs, data.train.targets
    mean, std = (data.mean, data.std) if data.mean else _moments(inputs)
    return DatasetFacts(
        task=data.task,
        classes=tuple(data.classes),
        has_images=has_pictures(data),
        splits={name: _split_facts(split, len(data.classes)) for name, split in data.splits.items()},
        input=_element_facts(inputs),
        target=_element_facts(targets),
        batch=(min(batch, len(targets)), *inputs.shape[1:]),
        mean=tuple(round(value, 6) for value in mean),
        std=tuple(round(value, 6) for value in std),
        source=data.source,
        skipped=len(data.set_aside),
    )


def _split_facts(split: Split, classes: int) -> SplitFacts:
    per_class = torch.bincount(split.targets, minlength=classes).tolist() if classes else []
    return SplitFacts(len(split), tuple(per_class))


def _element_facts(values: Tensor) -> ElementFacts:
    return ElementFacts(tuple(values.shape[1:]), dtype_name(values.dtype))


def _moments(inputs: Tensor, most: int = 4) -> tuple[list[float], list[float]]:
    """Mean and deviation of the first features (the channels, where there are some)."""
    values = inputs.float()
    values = values.transpose(0, 1).flatten(1) if values.ndim > 1 else values[None]
    return values.mean(1).tolist()[:most], values.std(1, correction=0).tolist()[:most]


def dtype_name(dtype: torch.dtype) -> str:
    """`uint8`."""
    return str(dtype).removeprefix("torch.")


def facts(values: Tensor) -> TensorFacts:
    """Shape, dtype, range and mean of a tensor."""
    floats = values.float()
    return TensorFacts(
        tuple(values.shape),
        dtype_name(values.dtype),
        low=float(floats.min()),
        high=float(floats.max()),
        mean=float(floats.mean()),
    )


def members(split: Split, label: int | None) -> Sequence[int]:
    """Indices of the examples of a class, or of all: as they are stored, unless that is class after class.

    Those are mixed, the same way each time, as training mixes them: a page of one class says little.
    """
    if label is not None:
        return [int(index) for index in (split.targets == label).nonzero()[:, 0]]
    sorted_by_class = not split.targets.is_floating_point() and bool((split.targets.diff() >= 0).all())
    if not sorted_by_class:
        return range(len(split))
    generator = torch.Generator().manual_seed(derived_seed(0, "shown order"))
    return [int(index) for index in torch.randperm(len(split), generator=generator)]


def noise() -> Tensor:
    """uint8 [3, 96, 96], every value equally likely, the same each time."""
    generator = torch.Generator().manual_seed(derived_seed(0, "noise"))
    shape = (3, _NOISE_SIDE, _NOISE_SIDE)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def input_at(split: Split, index: int) -> Tensor:
    """One input; `NOISE` is the picture of noise. Raises `BadInput` where there is none of that index."""
    if index == NOISE:
        return noise()
    if not 0 <= index < len(split):
        raise BadInput(f"there is no example {index}: they go from 0 to {len(split) - 1}")
    return split.example(index)


def picture_at(data: Data, split: Split, index: int) -> Tensor:
    """A picture [C, H, W] to look at and to transform: uint8, or float brought back to 0..1.

    What lies within 0..1 (or 0..255) needs nothing but its scale; other floats were normalised by somebody, and
    come back by the range that the dataset's pictures have.
    """
    values = input_at(split, index)
    if values.dtype == torch.uint8:
        return values
    some = data.train.inputs[:_MEASURED].float()
    low, high = float(some.min()), float(some.max())
    if low >= 0 and high <= 255:
        return values.float() / (1 if high <= 1 else 255)
    return ((values.float() - low) / (high - low)).clamp(0, 1)


def drawn(values: Tensor) -> Image.Image:
    """The picture that uint8, or float from 0 to 1, [C, H, W] shows."""
    if values.dtype != torch.uint8:
        values = (values * 255).round().clamp(0, 255).to(torch.uint8)
    array = values.numpy()
    return Image.fromarray(np.ascontiguousarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0)))


def _channelwise(values: Sequence[float], channels: int) -> Tensor:
    fitted = values if len(values) == channels else [sum(values) / len(values)] * channels
    return torch.tensor(list(fitted)).view(-1, 1, 1)


def transformed(picture: Tensor, chain: Chain, seed: int, data: Data) -> tuple[Tensor, Image.Image]:
    """What a chain makes of a picture [C, H, W], and how that looks. `seed` decides what is drawn at random.

    `normalise` comes last wherever it stands, and is taken back before the picture is drawn. Raises `BadInput`
    for a transform that is not there.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "preview"))
        for name, value in chain:
            if name != "normalise":
                picture = _made(name, value, picture)(picture)
    if not data.mean or all(name != "normalise" for name, _ in chain):
        return picture, drawn(picture)
    mean, std = _channelwise(data.mean, len(picture)), _channelwise(data.std, len(picture))
    scaled = picture / 255 if picture.dtype == torch.uint8 else picture
    normalised = (scaled - mean) / std
    return normalised, drawn(normalised * std + mean)


def augmented(picture: Tensor, names: Sequence[str], seed: int) -> Tensor:
    """A picture [C, H, W] as training would see it in some epoch."""
    augment = Augment(names)
    return augment(picture[None], augment.draws(1, derived_seed(seed, "preview")))[0]


def _made(name: str, value: float | None, picture: Tensor) -> Callable[[Tensor], Tensor]:
    if name not in BY_NAME:
        raise BadInput(f"there is no transform '{name}'{nearest(name, BY_NAME)}; known: {', '.join(BY_NAME)}")
    parameter = BY_NAME[name].parameter
    if parameter is not None:
        given = parameter.default if value is None else value
        value = min(parameter.high, max(parameter.low, given))
    made: Callable[[Tensor], Tensor] = _BUILDERS[name](value, picture)
    return made


def _v2() -> Any:
    try:
        from torchvision.transforms import v2  # noqa: PLC0415 - takes five seconds
    except Exception as error:
        raise BadInput(
            f"torchvision, which has the transforms, can't be imported: {one_line(error)}"
        ) from None
    return v2


def _sides(picture: Tensor) -> list[int]:
    return list(picture.shape[-2:])


def _crop(percent: float, picture: Tensor) -> Any:
    return _v2().RandomCrop(_sides(picture), padding=round(percent / 100 * min(_sides(picture))))


def _resized_crop(percent: float, picture: Tensor) -> Any:
    return _v2().RandomResizedCrop(_sides(picture), scale=(percent / 100, 1.0), antialias=True)


def _jitter(strength: float, picture: Tensor) -> Any:
    # Grey pictures have neither saturation nor hue.
    colours = {"saturation": strength, "hue": strength / 4} if len(picture) == 3 else {}
    return _v2().ColorJitter(brightness=strength, contrast=strength, **colours)


def _affine(degrees: float, _: Tensor) -> Any:
    return _v2().RandomAffine(degrees, translate=(0.1, 0.1), scale=(0.8, 1.2), shear=degrees)


def _blur(deviation: float, picture: Tensor) -> Any:
    # The picture is mirrored at its edges, which must not be more than there is of it.
    reach = max(1, min(math.ceil(3 * deviation), min(_sides(picture)) - 1))
    return _v2().GaussianBlur(2 * reach + 1, sigma=deviation)


def _erasing(percent: float, _: Tensor) -> Any:
    return _v2().RandomErasing(p=1.0, scale=(percent / 200, percent / 100))


_BUILDERS: Mapping[str, Callable[[Any, Tensor], Any]] = {
    "rotation": lambda degrees, _: _v2().RandomRotation(degrees),
    "hflip": lambda chance, _: _v2().RandomHorizontalFlip(chance),
    "vflip": lambda chance, _: _v2().RandomVerticalFlip(chance),
    "crop": _crop,
    "resized-crop": _resized_crop,
    "colour-jitter": _jitter,
    "affine": _affine,
    "perspective": lambda distortion, _: _v2().RandomPerspective(distortion, p=1.0),
    "blur": _blur,
    "erasing": _erasing,
    "grey": lambda chance, _: _v2().RandomGrayscale(chance),
    "auto-contrast": lambda chance, _: _v2().RandomAutocontrast(chance),
    "rand-augment": lambda magnitude, _: _v2().RandAugment(magnitude=round(magnitude)),
}
