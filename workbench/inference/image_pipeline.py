"""Opens images and transforms them into model inputs, in the same way as in the training of the model."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.core.progress import CancelCheck, ProgressCallback, ignore_progress, never_cancelled
from workbench.datasets.image_transform import (
    PREPROCESS,
    apply_function,
    describe_step,
    image_function,
    input_mode,
    makes_shape,
    resizes_itself,
    scale_pixels,
)
from workbench.datasets.input_record import InputKind, InputRecord, is_image_shape, unknown_input_message
from workbench.inference.image_changes import ImageChanges
from workbench.inference.seen_by_steps import seen_by_steps
from workbench.io.download import download_image
from workbench.io.fit_mode import describe_fit, visible_fraction
from workbench.io.image_fit import fit_image, middle_of_strip
from workbench.io.images import convert_mode, describe_conversion, open_image
from workbench.models.preprocessing import Preprocessing, scale_to_unit

_CROP_WORTH_SAYING = 0.6
"""The crop of a square image by the usual presets leaves 77 % of it, which is not worth a notice."""
_MAX_RATIO = 8
"""Of the sides of an image: resizing all of a longer strip would create gigabytes that the center crop discards."""


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
    """Makes inputs of shape `shape` (C, H, W) of images as the dataset of a run does, then applies its preprocessing.

    Images are fitted as `record.fit` says, unless the dataset's own transform resizes them. `has_fit`: whether the
    dataset has the setting `data.fit`.
    """

    def __init__(
        self, shape: Sequence[int], preprocessing: Preprocessing, record: InputRecord, *, has_fit: bool = True
    ) -> None:
        if not is_image_shape(shape) or record.kind is InputKind.VALUES:
            raise UserError(f"the inputs of this run are not images (their shape is {list(shape)})")
        if record.kind is InputKind.UNKNOWN:
            raise UserError(unknown_input_message(record))
        self._shape, self._preprocessing, self._record = tuple(shape), preprocessing, record
        self._mode = cast(Literal["L", "RGB"], input_mode(record, shape[0]))
        self._height, self._width = shape[1:]
        self._has_fit = has_fit and not record.code
        has_function = record.kind in {InputKind.CODE, InputKind.TRANSFORMS}
        self._function = image_function(record) if has_function else None
        self._takes_all = self._function is not None and resizes_itself(
            self._function, self._shape, self._mode
        )
        self._sizes: dict[tuple[int, int], bool] = {}

    def for_samples(self) -> RunTransform:
        """The transform for images that show the pixels of a sample. Raises `UserError` where it has none."""
        record = self._record
        if self._function is None:
            cropped = msgspec.structs.replace(record, crop=None)
            return RunTransform(self._shape, self._preprocessing, cropped, has_fit=self._has_fit)
        if not record.is_affine:
            raise UserError(
                "the inputs of this run can't be shown as images: its preprocess can't be reversed"
            )
        kind = InputKind.AFFINE if record.scale else InputKind.PIXELS
        plain = InputRecord(kind=kind, dtype=record.dtype, scale=record.scale, offset=record.offset)
        return RunTransform(self._shape, self._preprocessing, plain)

    def to_tensor(self, image: Image.Image) -> Tensor:
        """uint8 [C, H, W] pixels, or float32 where the dataset has its own transform."""
        image = self._fit(convert_mode(image, self._mode))
        if self._function is None:
            return to_uint8_tensor(image)
        values = apply_function(self._function, image, self._record.code)
        if tuple(values.shape) != self._shape:
            raise UserError(
                f"the transform of the dataset makes {list(values.shape)} of an image of {image.width}×{image.height}; "
                f"the model takes {list(self._shape)}"
            )
        return values

    def batch(self, images: Sequence[Tensor], device: torch.device) -> Tensor:
        """The model's inputs, float32 [N, C, H, W]."""
        raw = torch.stack(list(images)).to(device)
        return self._preprocessing(self._scaled(raw), device)

    def changes(self, image: Image.Image) -> ImageChanges:
        """What is lost or changed of an image."""
        conversions = describe_conversion(image, self._mode)
        if self._takes(image.size):
            seen, is_stretched = seen_by_steps(image.size, self._record.steps)
            return ImageChanges(conversions, _describe_own_fit(image.size, seen, is_stretched), seen)
        target = image.size, self._width, self._height, self._record.fit, self._record.crop
        text = describe_fit(*target, advise=self._has_fit)
        return ImageChanges(conversions, text, visible_fraction(*target))

    def _fit(self, image: Image.Image) -> Image.Image:
        if self._takes(image.size):
            return image
        return fit_image(image, self._width, self._height, self._record.fit, self._record.crop)

    def _takes(self, size: tuple[int, int]) -> bool:
        """Whether the dataset's own transform makes an input of an image of `size` itself, as it does in training.

        `Resize(20)` does so of square ones only.
        """
        if self._takes_all or self._function is None:
            return self._takes_all
        if size not in self._sizes:
            self._sizes[size] = makes_shape(self._function, size, self._shape, self._mode)
        return self._sizes[size]

    def _scaled(self, raw: Tensor) -> Tensor:
        """Inputs as the dataset has them: of the kind `affine`, scaled pixels."""
        if self._record.kind is not InputKind.AFFINE:
            return raw
        return scale_pixels(raw, self._record.scale, self._record.offset)

    def stages(self, image: Image.Image, device: torch.device) -> Iterator[PipelineStage]:
        """The stages of `to_tensor` and `batch` for one image."""
        yield PipelineStage("original", "Image.open(…)", image)
        converted = convert_mode(image, self._mode)
        if converted is not image:
            changes = describe_conversion(image, self._mode)
            code = f".convert('{self._mode}')" + "".join(f"; {change}" for change in changes)
            yield PipelineStage(self._mode, code, converted)
        fitted = self._fit(converted)
        if fitted.size != converted.size:
            crop = self._record.crop
            how = (
                f"Resize({crop.resize}), CenterCrop({crop.side})" if crop is not None else "as in the dataset"
            )
            target = image.size, self._width, self._height, self._record.fit, crop
            text = describe_fit(*target, advise=self._has_fit)
            code = f"{self._width}×{self._height}, {how}" + (f"; {text}" if text else "")
            yield PipelineStage("fitted", code, fitted)
        if self._function is None:
            yield from _arrays(fitted)
            raw = to_uint8_tensor(fitted)
            yield PipelineStage("to tensor", ".permute(2, 0, 1).contiguous()", raw)
        else:
            raw = self.to_tensor(image)
            yield PipelineStage("preprocessed", self._function_code(), raw)
        batch = raw.unsqueeze(0)
        yield PipelineStage("batched", ".unsqueeze(0)", batch)
        if device.type != "cpu":
            batch = batch.to(device)
            yield PipelineStage("on the device", f".to('{device}')", batch)
        yield from self._prepared(batch, device)

    def _function_code(self) -> str:
        if self._record.kind is InputKind.TRANSFORMS:
            return " → ".join(map(describe_step, self._record.steps))
        return f"{self._record.code.rpartition(':')[2]}.{PREPROCESS}(image)"

    def _prepared(self, batch: Tensor, device: torch.device) -> Iterator[PipelineStage]:
        settings = self._preprocessing
        if batch.dtype == torch.uint8 and self._record.kind is not InputKind.AFFINE:
            scaled = scale_to_unit(batch)
            yield PipelineStage("scaled", ".float() / 255", scaled)
            mean = settings.mean
        else:
            scaled, mean = self._scaled(batch), ()
            if scaled is not batch:
                yield PipelineStage("scaled", "x * scale + offset, as the dataset's inputs", scaled)
        shaped = Preprocessing(settings.size, settings.channels).prepare_scaled(scaled)
        if shaped.shape != scaled.shape:
            yield PipelineStage("resized", "to the model's input size", shaped)
        if mean:
            yield PipelineStage("normalized", "(x - mean) / std", settings(batch, device))


def _describe_own_fit(size: tuple[int, int], seen: float, is_stretched: bool) -> str:
    """What the dataset's own transform leaves of an image of `size`; empty if that is most of it, undistorted."""
    if seen < _CROP_WORTH_SAYING:
        return f"{100 * seen:.0f} % of a {size[0]}×{size[1]} image is seen (by the dataset's transform)"
    return f"a {size[0]}×{size[1]} image is stretched by the dataset's transform" if is_stretched else ""


class PublishedTransform:
    """The transforms that the accuracy of published weights was measured with: a preset of torchvision, or timm's."""

    def __init__(self, transforms: Callable[[Image.Image], Tensor]) -> None:
        self._transforms = transforms

    def to_tensor(self, image: Image.Image) -> Tensor:
        """float32 [3, H, W], normalized."""
        return self._transforms(middle_of_strip(convert_mode(image, "RGB"), _MAX_RATIO))

    def for_samples(self) -> PublishedTransform:
        """The same: images of a dataset are treated as any other."""
        return self

    def changes(self, image: Image.Image) -> ImageChanges:
        """What is changed of an image, and what the preset crops."""
        conversions = describe_conversion(image, "RGB")
        preset: Any = self._transforms
        sizes = getattr(preset, "crop_size", None), getattr(preset, "resize_size", None)
        if sizes[0] is None or sizes[1] is None:
            return ImageChanges(conversions)
        side = min(1.0, sizes[0][0] / sizes[1][0])
        is_squashed = len(sizes[1]) == 2
        seen = side**2 * (1 if is_squashed else min(image.size) / max(image.size))
        text = f"{100 * seen:.0f} % of a {image.width}×{image.height} image is seen (center crop)"
        return ImageChanges(conversions, text if seen < _CROP_WORTH_SAYING else "", seen)

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
        if not hasattr(preset, "resize_size"):
            batch = preset(middle_of_strip(rgb, _MAX_RATIO)).unsqueeze(0)
            yield PipelineStage("transformed", "".join(repr(preset).split()), batch[0])
            yield from _batched(batch, device)
            return
        resized = functional.resize(
            middle_of_strip(rgb, _MAX_RATIO),
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
        yield from _batched(normalized.unsqueeze(0), device)


def _batched(batch: Tensor, device: torch.device) -> Iterator[PipelineStage]:
    """A batch of one image, on the CPU and on the device."""
    yield PipelineStage("batched", ".unsqueeze(0)", batch)
    if device.type != "cpu":
        yield PipelineStage("on the device", f".to('{device}')", batch.to(device))


def _arrays(image: Image.Image) -> Iterator[PipelineStage]:
    """An image as a NumPy array, and as a tensor that shares its memory."""
    array = np.array(image)
    yield PipelineStage("array", "np.array(image)", array)
    yield PipelineStage("from_numpy", "torch.from_numpy(array)", torch.from_numpy(array))


def to_uint8_tensor(image: Image.Image) -> Tensor:
    """uint8 [C, H, W] of an RGB or grayscale image."""
    values = torch.from_numpy(np.array(image))
    return values.unsqueeze(0) if values.ndim == 2 else values.permute(2, 0, 1).contiguous()


def to_pil_image(values: Tensor) -> Image.Image:
    """A PIL image from uint8 [C, H, W] with C of 1 or 3."""
    array = values.cpu().numpy()
    return Image.fromarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0))
