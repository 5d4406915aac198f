"""Pictures on their way to a model: opened by the one rule, then as the model's training saw its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.errors import BadInput
from workbench.io.fetch import fetch_picture
from workbench.io.pictures import convert, fit_square, open_picture
from workbench.models.preprocess import Preprocessing


def is_url(source: str) -> bool:
    """Whether `source` is meant as a URL (any scheme: those that are not http(s) are refused when fetched)."""
    return "://" in source


def open_source(source: str) -> Image.Image:
    """The picture at a path or an http(s) URL, upright, in its own mode. Raises `BadInput`."""
    return open_picture(fetch_picture(source) if is_url(source) else Path(source).expanduser())


class RunPictures:
    """As the pictures of the run's dataset were brought to `shape` (C, H, W), then the run's preprocessing."""

    def __init__(self, shape: Sequence[int], preprocessing: Preprocessing) -> None:
        if len(shape) != 3 or shape[0] not in {1, 3}:
            raise BadInput(f"this run's inputs are no pictures (their shape is {list(shape)})")
        self._mode: Literal["L", "RGB"] = "L" if shape[0] == 1 else "RGB"
        self._height, self._width = shape[1:]
        self._preprocessing = preprocessing

    def one(self, image: Image.Image) -> Tensor:
        """uint8 [C, H, W]: the middle square where the dataset's pictures are square, else stretched."""
        image = convert(image, self._mode)
        if self._height == self._width:
            image = fit_square(image, self._height)
        elif image.size != (self._width, self._height):
            image = image.resize((self._width, self._height), Image.Resampling.BILINEAR)
        return as_tensor(image)

    def batch(self, pictures: Sequence[Tensor], device: torch.device) -> Tensor:
        """The model's inputs, float32 [N, C, H, W]."""
        return self._preprocessing(torch.stack(list(pictures)), device)


class PublishedPictures:
    """torchvision's own transforms, those the published accuracy was measured with."""

    def __init__(self, transforms: Callable[[Image.Image], Tensor]) -> None:
        self._transforms = transforms

    def one(self, image: Image.Image) -> Tensor:
        """float32 [3, H, W], normalised."""
        return self._transforms(_not_too_long(convert(image, "RGB")))

    def batch(self, pictures: Sequence[Tensor], device: torch.device) -> Tensor:
        """The model's inputs, float32 [N, 3, H, W]."""
        return torch.stack(list(pictures)).to(device)


def _not_too_long(image: Image.Image, most: int = 8) -> Image.Image:
    """The middle of a strip: resizing its short side would make gigabytes that the centre crop throws away."""
    width, height = image.size
    side = most * min(width, height)
    if max(width, height) <= side:
        return image
    left, top = max(0, (width - side) // 2), max(0, (height - side) // 2)
    return image.crop((left, top, min(width, left + side), min(height, top + side)))


def as_tensor(image: Image.Image) -> Tensor:
    """uint8 [C, H, W] of an RGB or grey picture."""
    values = torch.from_numpy(np.array(image))
    return values.unsqueeze(0) if values.ndim == 2 else values.permute(2, 0, 1).contiguous()


def as_picture(values: Tensor) -> Image.Image:
    """The picture that uint8 [C, H, W] shows (C of 1 or 3)."""
    array = values.cpu().numpy()
    return Image.fromarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0))
