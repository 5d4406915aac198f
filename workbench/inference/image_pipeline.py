"""Opens images and transforms them into model inputs, in the same way as in the training of the model."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.core.progress import CancelCheck, ProgressCallback, ignore_progress, never_cancelled
from workbench.io.download import download_image
from workbench.io.images import convert_mode, crop_to_square, open_image
from workbench.models.preprocessing import Preprocessing, scale_to_unit


def is_url(source: str) -> bool:
    """Whether `source` is a URL, of any scheme; only http(s) URLs can be downloaded."""
    return "://" in source


def open_source(
    source: str, progress: ProgressCallback = ignore_progress, cancelled: CancelCheck = never_cancelled
) -> Image.Image:
    """The image at a path or an http(s) URL, upright, in its own mode. Raises `UserError`, `Cancelled`."""
    return open_image(
        download_image(source, progress, cancelled) if is_url(source) else expand_user_path(source)
    )


@dataclass(frozen=True)
class PipelineStage:
    """One step between an image and its prediction: its name, a line of code that does it, and its result."""

    name: str
    code: str
    value: Image.Image | np.ndarray[Any, Any] | Tensor


class RunTransform:
    """Resizes images to `shape` (C, H, W) like the dataset of the run, then applies the preprocessing of the run."""

    def __init__(self, shape: Sequence[int], preprocessing: Preprocessing) -> None:
        if len(shape) != 3 or shape[0] not in {1, 3}:
            raise UserError(f"the inputs of this run are not images (their shape is {list(shape)})")
        self._mode: Literal["L", "RGB"] = "L" if shape[0] == 1 else "RGB"
        self._height, self._width = shape[1:]
        self._preprocessing = preprocessing

    def to_tensor(self, image: Image.Image) -> Tensor:
        """uint8 [C, H, W]: the center square if the images of the dataset are square, else stretched."""
        image = convert_mode(image, self._mode)
        if self._height == self._width:
            image = crop_to_square(image, self._height)
        elif image.size != (self._width, self._height):
            image = image.resize((self._width, self._height), Image.Resampling.BILINEAR)
        return to_uint8_tensor(image)

    def batch(self, images: Sequence[Tensor], device: torch.device) -> Tensor:
        """The model's inputs, float32 [N, C, H, W]."""
        return self._preprocessing(torch.stack(list(images)), device)

    def stages(self, image: Image.Image, device: torch.device) -> Iterator[PipelineStage]:
        """The stages of `to_tensor` and `batch` for one image."""
        yield PipelineStage("original", "Image.open(…)", image)
        converted = convert_mode(image, self._mode)
        if converted is not image:
            yield PipelineStage(self._mode, f".convert('{self._mode}')", converted)
        uint8 = self.to_tensor(image)
        fitted = to_pil_image(uint8)
        if fitted.size != converted.size:
            yield PipelineStage("fitted", f"{self._width}×{self._height}, as in the dataset", fitted)
        yield from _arrays(fitted)
        yield PipelineStage("to tensor", ".permute(2, 0, 1).contiguous()", uint8)
        batch = uint8.unsqueeze(0)
        yield PipelineStage("batched", ".unsqueeze(0)", batch)
        if device.type != "cpu":
            batch = batch.to(device)
            yield PipelineStage("on the device", f".to('{device}')", batch)
        yield from self._prepared(batch, device)

    def _prepared(self, batch: Tensor, device: torch.device) -> Iterator[PipelineStage]:
        settings = self._preprocessing
        scaled = scale_to_unit(batch)
        yield PipelineStage("scaled", ".float() / 255", scaled)
        shaped = Preprocessing(settings.size, settings.channels).prepare_scaled(scaled)
        if shaped.shape != scaled.shape:
            yield PipelineStage("resized", "to the model's input size", shaped)
        if settings.mean:
            yield PipelineStage("normalized", "(x - mean) / std", settings(batch, device))


class TorchvisionTransform:
    """The transforms of torchvision that the published accuracy was measured with."""

    def __init__(self, transforms: Callable[[Image.Image], Tensor]) -> None:
        self._transforms = transforms

    def to_tensor(self, image: Image.Image) -> Tensor:
        """float32 [3, H, W], normalized."""
        return self._transforms(_crop_long_strip(convert_mode(image, "RGB")))

    def batch(self, images: Sequence[Tensor], device: torch.device) -> Tensor:
        """The model's inputs, float32 [N, 3, H, W]."""
        return torch.stack(list(images)).to(device)

    def stages(self, image: Image.Image, device: torch.device) -> Iterator[PipelineStage]:
        """The stages of `to_tensor` and `batch` for one image: the parts of torchvision's preset."""
        functional = importlib.import_module("torchvision").transforms.functional
        preset: Any = self._transforms
        yield PipelineStage("original", "Image.open(…)", image)
        rgb = convert_mode(image, "RGB")
        if rgb is not image:
            yield PipelineStage("RGB", ".convert('RGB')", rgb)
        resized = functional.resize(
            _crop_long_strip(rgb),
            preset.resize_size,
            interpolation=preset.interpolation,
            antialias=preset.antialias,
        )
        yield PipelineStage("resized", f"Resize({preset.resize_size[0]})", resized)
        cropped = functional.center_crop(resized, preset.crop_size)
        yield PipelineStage("cropped", f"CenterCrop({preset.crop_size[0]})", cropped)
        yield from _arrays(cropped)
        tensor = functional.convert_image_dtype(functional.pil_to_tensor(cropped).contiguous(), torch.float)
        yield PipelineStage("to tensor", "ToTensor()", tensor)
        normalized = functional.normalize(tensor, preset.mean, preset.std)
        yield PipelineStage("normalized", "Normalize(mean, std)", normalized)
        batch = normalized.unsqueeze(0)
        yield PipelineStage("batched", ".unsqueeze(0)", batch)
        if device.type != "cpu":
            yield PipelineStage("on the device", f".to('{device}')", batch.to(device))


def _arrays(image: Image.Image) -> Iterator[PipelineStage]:
    """An image as a NumPy array, and as a tensor that shares its memory."""
    array = np.array(image)
    yield PipelineStage("array", "np.array(image)", array)
    yield PipelineStage("from_numpy", "torch.from_numpy(array)", torch.from_numpy(array))


def _crop_long_strip(image: Image.Image, max_ratio: int = 8) -> Image.Image:
    """The center of a long strip: resizing all of it would create gigabytes that the center crop discards."""
    width, height = image.size
    side = max_ratio * min(width, height)
    if max(width, height) <= side:
        return image
    left, top = max(0, (width - side) // 2), max(0, (height - side) // 2)
    return image.crop((left, top, min(width, left + side), min(height, top + side)))


def to_uint8_tensor(image: Image.Image) -> Tensor:
    """uint8 [C, H, W] of an RGB or grayscale image."""
    values = torch.from_numpy(np.array(image))
    return values.unsqueeze(0) if values.ndim == 2 else values.permute(2, 0, 1).contiguous()


def to_pil_image(values: Tensor) -> Image.Image:
    """A PIL image from uint8 [C, H, W] with C of 1 or 3."""
    array = values.cpu().numpy()
    return Image.fromarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0))
