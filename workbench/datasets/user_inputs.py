"""Inputs of a custom dataset: images and other data from arrays of any layout; whether images become such inputs."""

from __future__ import annotations

from typing import Any

import torch
from msgspec import structs
from torch import Tensor

from workbench.core.errors import UserError
from workbench.datasets.image_transform import as_input, describe_steps, wrapped_datasets
from workbench.datasets.input_record import IMAGE_CHANNELS, InputKind, InputRecord, unknown_input_message
from workbench.datasets.user_targets import signed

_SMALL_MAP = 4
"""Float inputs of this height or width are feature maps rather than images."""
_FEW_LEVELS = 32
"""Images of whole numbers below this are no 8-bit pixels: masks of 0 and 1, the digits of scikit-learn (0 to 16)."""
_READ_AGAIN = 3
_TOLERANCE = 1e-3


def channels_first(inputs: Tensor, where: str) -> tuple[Tensor, str]:
    """Images [N, H, W, C] as [N, C, H, W], and a notice of that or of what looks like such images; others unchanged."""
    if inputs.is_complex():
        raise UserError(f"{where} has complex inputs: return real numbers, for example x.abs()")
    inputs = signed(inputs)
    channels_last, before = _channels_last(inputs), list(inputs.shape[1:])
    if channels_last in IMAGE_CHANNELS:
        inputs = inputs.permute(0, 3, 1, 2).contiguous()
        return inputs, f"inputs with channels last, {before}, are used as {list(inputs.shape[1:])}"
    if channels_last:
        raise UserError(
            f"{where} has inputs of shape {tuple(inputs.shape)}, which have {channels_last} channels last: put the "
            f"channels first (x.permute(0, 3, 1, 2)){_drop_alpha(channels_last)}"
        )
    if inputs.ndim == 4 and inputs.shape[1] not in IMAGE_CHANNELS and 2 * before[2] < min(before[:2]):
        return inputs, (
            f"inputs of shape {before} are used as {before[0]} channels of {before[1]}×{before[2]}: if the channels "
            "come last, put them first (x.permute(0, 3, 1, 2))"
        )
    return inputs, ""


def convert_inputs(inputs: Tensor, where: str, *, are_pixels: bool) -> Tensor:
    """uint8 [N, C, H, W] for images, float32 for other data. Raises `UserError`.

    `are_pixels`: whether the values of the training images are pixels, so that those of dark test images are, too.
    """
    if are_pixels and _has_pixel_values(inputs):
        inputs = inputs.to(torch.uint8)
    if inputs.dtype == torch.uint8 and inputs.ndim == 3:
        return inputs.unsqueeze(1)
    if inputs.dtype == torch.uint8 and inputs.ndim == 4:
        if inputs.shape[1] not in IMAGE_CHANNELS:
            raise UserError(
                f"{where} has uint8 inputs of shape {tuple(inputs.shape)}; images are [N, 1 or 3, H, W]"
                f"{_drop_alpha(inputs.shape[1])}"
            )
        return inputs
    inputs = inputs.to(torch.float32)
    return inputs.unsqueeze(1) if inputs.ndim == 1 else inputs


def _channels_last(inputs: Tensor) -> int:
    """The number of channels of images [N, H, W, C]; 0 where the inputs are not such images.

    The feature maps of a network can have any number of channels in front of a small height and width.
    """
    if inputs.ndim != 4 or inputs.shape[1] in IMAGE_CHANNELS:
        return 0
    height, width, channels = inputs.shape[1:]
    if channels in IMAGE_CHANNELS and (inputs.dtype == torch.uint8 or min(height, width) > _SMALL_MAP):
        return channels
    return channels if channels in {2, 4} and height == width > channels else 0


def _has_pixel_values(inputs: Tensor) -> bool:
    """Whether these are images of integers from 0 to 255, of another type than uint8."""
    if inputs.ndim != 4 or inputs.shape[1] not in IMAGE_CHANNELS or inputs.dtype in {torch.uint8, torch.bool}:
        return False
    return not inputs.is_floating_point() and int(inputs.min()) >= 0 and int(inputs.max()) <= 255


def are_integer_pixels(inputs: Tensor) -> bool:
    """Whether images are stored as integers of another type than uint8, and not only as zeros and ones."""
    return _has_pixel_values(inputs) and int(inputs.max()) > 1


def _drop_alpha(channels: int) -> str:
    return "; drop the alpha channel" if channels == 4 else ""


def few_levels(inputs: Tensor) -> int:
    """The highest value of uint8 images that are not pixels from 0 to 255; 0 for all other inputs."""
    highest = int(inputs.max()) if inputs.dtype == torch.uint8 else 0
    return highest if highest < _FEW_LEVELS else 0


def unknown_pixels(highest: int, code: str) -> tuple[InputRecord, list[str]]:
    """The record of uint8 images from 0 to `highest`, and its notice: an image from a file has values up to 255."""
    record = InputRecord(kind=InputKind.UNKNOWN, low=0.0, high=float(highest), code=code)
    return record, [f"images can't be classified later: {unknown_input_message(record)}"]


def unless_changed(record: InputRecord, notices: list[str], dataset: Any) -> tuple[InputRecord, list[str]]:
    """`record` and `notices`, but of an unknown kind where `dataset` changes what the transforms of `record` return."""
    if record.kind not in {InputKind.AFFINE, InputKind.TRANSFORMS} or not _changes_transformed(dataset):
        return record, notices
    reason = f"its transform is {describe_steps(record.steps)}, but the inputs are not what that returns"
    record = structs.replace(record, kind=InputKind.UNKNOWN, scale=(), offset=(), steps=(), reason=reason)
    return record, [*notices, f"images can't be classified later: {unknown_input_message(record)}"]


class _Observed:
    """A transform that remembers what it returned last."""

    def __init__(self, transform: Any) -> None:
        self._transform = transform
        self.returned: Any = None

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        self.returned = self._transform(*arguments, **keywords)
        return self.returned

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transform, name)


def _changes_transformed(dataset: Any) -> bool:
    """Whether a torch Dataset returns other inputs than its transform does (`1 - x`, channels exchanged).

    Some items are read again. `False` where it can't be told: the transform is not an attribute, or items are cached.
    """
    owner = next((d for d in wrapped_datasets(dataset) if callable(getattr(d, "transform", None))), None)
    if owner is None or "transform" not in getattr(owner, "__dict__", ()):
        return False
    transform = owner.transform
    observed = _Observed(transform)
    try:
        owner.transform = observed
        for index in range(0, len(dataset), max(1, len(dataset) // _READ_AGAIN)):
            observed.returned = None
            item = dataset[index]
            if observed.returned is not None and not _are_equal(item[0], observed.returned):
                return True
    except (Exception, SystemExit):
        return False
    finally:
        owner.transform = transform
    return False


def _are_equal(item: Any, returned: Any) -> bool:
    value, expected = as_input(item).double(), as_input(returned).double()
    tolerance = _TOLERANCE * max(1.0, float(expected.abs().max()))
    return value.shape == expected.shape and bool(((value - expected).abs() <= tolerance).all())
