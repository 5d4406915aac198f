"""Pictures on their way to a model: opened by the one rule, then as the model's training saw its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.core.errors import BadInput
from workbench.core.paths import given
from workbench.core.progress import Cancelled, Report, never, silent
from workbench.io.download import fetch_picture
from workbench.io.images import convert, fit_square, open_picture
from workbench.models.preprocessing import Preprocessing, scale


def is_url(source: str) -> bool:
    """Whether `source` is meant as a URL (any scheme: those that are not http(s) are refused when fetched)."""
    return "://" in source


def open_source(source: str, progress: Report = silent, cancelled: Cancelled = never) -> Image.Image:
    """The picture at a path or an http(s) URL, upright, in its own mode. Raises `BadInput`, `Interrupted`."""
    return open_picture(fetch_picture(source, progress, cancelled) if is_url(source) else given(source))


@dataclass(frozen=True)
class Stage:
    """One step between a picture and its answer: what it is called, the line of code, and what it gives."""

    name: str
    code: str
    value: Image.Image | np.ndarray[Any, Any] | Tensor


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

    def stages(self, image: Image.Image, device: torch.device) -> Iterator[Stage]:
        """What `one` and `batch` do to one picture, step by step."""
        yield Stage("original", "Image.open(…)", image)
        grey = convert(image, self._mode)
        if grey is not image:
            yield Stage(self._mode, f".convert('{self._mode}')", grey)
        uint8 = self.one(image)
        fitted = as_picture(uint8)
        if fitted.size != grey.size:
            yield Stage("fitted", f"{self._width}×{self._height}, as the data", fitted)
        yield from _arrays(fitted)
        yield Stage("to tensor", ".permute(2, 0, 1).contiguous()", uint8)
        batch = uint8.unsqueeze(0)
        yield Stage("batched", ".unsqueeze(0)", batch)
        if device.type != "cpu":
            batch = batch.to(device)
            yield Stage("on the device", f".to('{device}')", batch)
        yield from self._prepared(batch, device)

    def _prepared(self, batch: Tensor, device: torch.device) -> Iterator[Stage]:
        about = self._preprocessing
        scaled = scale(batch)
        yield Stage("scaled", ".float() / 255", scaled)
        shaped = Preprocessing(about.size, about.channels).finish(scaled)
        if shaped.shape != scaled.shape:
            yield Stage("resized", "as the model wants it", shaped)
        if about.mean:
            yield Stage("normalised", "(x - mean) / std", about(batch, device))


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

    def stages(self, image: Image.Image, device: torch.device) -> Iterator[Stage]:
        """What `one` and `batch` do to one picture, step by step: the parts of torchvision's preset."""
        functional = importlib.import_module("torchvision").transforms.functional
        preset: Any = self._transforms
        yield Stage("original", "Image.open(…)", image)
        rgb = convert(image, "RGB")
        if rgb is not image:
            yield Stage("RGB", ".convert('RGB')", rgb)
        resized = functional.resize(
            _not_too_long(rgb),
            preset.resize_size,
            interpolation=preset.interpolation,
            antialias=preset.antialias,
        )
        yield Stage("resized", f"Resize({preset.resize_size[0]})", resized)
        cropped = functional.center_crop(resized, preset.crop_size)
        yield Stage("cropped", f"CenterCrop({preset.crop_size[0]})", cropped)
        yield from _arrays(cropped)
        tensor = functional.convert_image_dtype(functional.pil_to_tensor(cropped).contiguous(), torch.float)
        yield Stage("to tensor", "ToTensor()", tensor)
        normalised = functional.normalize(tensor, preset.mean, preset.std)
        yield Stage("normalised", "Normalize(mean, std)", normalised)
        batch = normalised.unsqueeze(0)
        yield Stage("batched", ".unsqueeze(0)", batch)
        if device.type != "cpu":
            yield Stage("on the device", f".to('{device}')", batch.to(device))


def _arrays(image: Image.Image) -> Iterator[Stage]:
    """A picture as NumPy has it, and as a tensor in the same memory: what is written to one shows in the other."""
    array = np.array(image)
    yield Stage("array", "np.array(image)", array)
    yield Stage("from_numpy", "torch.from_numpy(array)", torch.from_numpy(array))


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
