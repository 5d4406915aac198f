"""RandAugment and TrivialAugmentWide: one random operation of 14 for each image, on the device, a batch at a time.

Three stages: an affine map, a lookup table for each channel, and a blend with another image. The operations and their
magnitudes are those of torchvision's `transforms.v2` for uint8 images.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.datasets.grayscale import grayscale

BINS = 31
"""Magnitudes that an operation has."""


class Operation(IntEnum):
    """The operations of one kind side by side."""

    IDENTITY = 0
    SHEAR_X = 1
    SHEAR_Y = 2
    TRANSLATE_X = 3
    TRANSLATE_Y = 4
    ROTATE = 5
    BRIGHTNESS = 6
    CONTRAST = 7
    POSTERIZE = 8
    SOLARIZE = 9
    AUTO_CONTRAST = 10
    EQUALIZE = 11
    COLOR = 12
    SHARPNESS = 13


_SIGNED = (
    Operation.SHEAR_X, Operation.SHEAR_Y, Operation.TRANSLATE_X, Operation.TRANSLATE_Y, Operation.ROTATE,
    Operation.BRIGHTNESS, Operation.COLOR, Operation.CONTRAST, Operation.SHARPNESS,
)  # fmt: skip
_GEOMETRY = range(Operation.SHEAR_X, Operation.BRIGHTNESS)
_VALUES = range(Operation.BRIGHTNESS, Operation.COLOR)
_BLENDS = range(Operation.COLOR, len(Operation))
TRIVIAL_DRAWS = 3
RAND_DRAWS = 2


def trivial_augment(images: Tensor, draws: Tensor) -> Tensor:
    """TrivialAugmentWide (Müller and Hutter, arXiv:2103.10158): one operation of a random magnitude.

    `images`: float [B, 1 or 3, H, W] from 0 to 255, which are rounded; `draws`: [B, 3] from 0 to 1.
    """
    operations, bins = _choose(draws[:, 0], len(Operation)), _choose(draws[:, 1], BINS)
    magnitudes = _magnitudes("wide", images.shape[-2], images.shape[-1], images.device)
    return apply_operations(
        images, operations, _signed(magnitudes[operations, bins], operations, draws[:, 2])
    )


def rand_augment(images: Tensor, draws: Tensor, magnitude: int) -> Tensor:
    """RandAugment (Cubuk et al., arXiv:1909.13719): an operation for each two columns of `draws`.

    `magnitude`: of all operations, 0 to 30.
    """
    magnitudes = _magnitudes("rand", images.shape[-2], images.shape[-1], images.device)
    for column in range(0, draws.shape[1], RAND_DRAWS):
        operations = _choose(draws[:, column], len(Operation))
        signed = _signed(magnitudes[operations, magnitude], operations, draws[:, column + 1])
        images = apply_operations(images, operations, signed)
    return images


def apply_operations(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """The operation of each image at its magnitude.

    `images`: float [B, 1 or 3, H, W] from 0 to 255, which are rounded; `operations`: int64 [B]; `magnitudes`: float
    [B], in the units of torchvision's functions less 1 for factors, and a threshold from 0 to 1 for solarizing.
    """
    images = images.round()
    for stage, kinds in ((_map_geometry, _GEOMETRY), (_map_values, _VALUES), (_blend, _BLENDS)):
        images = _apply_to(images, operations, magnitudes, stage, kinds)
    return images


def _apply_to(
    images: Tensor,
    operations: Tensor,
    magnitudes: Tensor,
    stage: Callable[[Tensor, Tensor, Tensor], Tensor],
    kinds: range,
) -> Tensor:
    """`stage` applied to the images that have an operation in `kinds`.

    On a GPU it computes all images, of which it leaves the others as they are: to select them is to wait for the GPU.
    """
    if images.device.type != "cpu":
        return stage(images, operations, magnitudes)
    selected = ((operations >= kinds.start) & (operations < kinds.stop)).nonzero()[:, 0]
    if not len(selected):
        return images
    changed = stage(images[selected], operations[selected], magnitudes[selected])
    return images.index_copy(0, selected, changed)


def _choose(draws: Tensor, count: int) -> Tensor:
    return (draws * count).long().clamp_(max=count - 1)


def _signed(magnitudes: Tensor, operations: Tensor, draws: Tensor) -> Tensor:
    is_signed = _signed_operations(operations.device)[operations]
    return torch.where(is_signed & (draws <= 0.5), -magnitudes, magnitudes)


@cache
def _signed_operations(device: torch.device) -> Tensor:
    """Cached, as copying to the device would synchronize with it; so are the magnitudes."""
    return torch.tensor([operation in _SIGNED for operation in Operation], device=device)


@cache
def _magnitudes(space: str, height: int, width: int, device: torch.device) -> Tensor:
    """float32 [14, 31]: torchvision's magnitudes of TrivialAugmentWide (`wide`) or of RandAugment (`rand`)."""
    wide = space == "wide"
    shear, turn, factor, bits = (0.99, 135.0, 0.99, 6) if wide else (0.3, 30.0, 0.9, 4)
    shift_x, shift_y = (32.0, 32.0) if wide else (150.0 / 331.0 * width, 150.0 / 331.0 * height)
    tops = {
        Operation.SHEAR_X: shear, Operation.SHEAR_Y: shear, Operation.ROTATE: turn,
        Operation.TRANSLATE_X: shift_x, Operation.TRANSLATE_Y: shift_y,
        Operation.BRIGHTNESS: factor, Operation.COLOR: factor, Operation.CONTRAST: factor, Operation.SHARPNESS: factor,
    }  # fmt: skip
    table = torch.zeros(len(Operation), BINS)
    for operation, top in tops.items():
        table[operation] = torch.linspace(0, top, BINS)
    for operation in (Operation.TRANSLATE_X, Operation.TRANSLATE_Y):
        table[operation] = table[operation].trunc()
    table[Operation.POSTERIZE] = (8 - torch.arange(BINS) / ((BINS - 1) / bits)).round()
    table[Operation.SOLARIZE] = torch.linspace(1, 0, BINS)
    return table.to(device)


def _map_geometry(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """Shear, shift or rotate each image about its center (shear: its corner): nearest pixel, padding with black."""
    height, width = images.shape[-2:]
    zero = torch.zeros_like(magnitudes)

    def value(operation: Operation) -> Tensor:
        return torch.where(operations == operation, magnitudes, zero)

    angle = torch.deg2rad(value(Operation.ROTATE))
    shear_x, shear_y = value(Operation.SHEAR_X), value(Operation.SHEAR_Y)
    # Where each pixel comes from, in pixels from the center; torchvision shears about the corner.
    x_x, x_y = angle.cos(), shear_x - angle.sin()
    y_x, y_y = angle.sin() + shear_y, angle.cos()
    x_shift = -value(Operation.TRANSLATE_X) + shear_x * height / 2
    y_shift = -value(Operation.TRANSLATE_Y) + shear_y * width / 2
    rows = (
        torch.stack([x_x, x_y * height / width, x_shift * 2 / width], 1),
        torch.stack([y_x * width / height, y_y, y_shift * 2 / height], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="nearest", align_corners=False)


def _map_values(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """Brightness, contrast, posterize, solarize, auto-contrast and equalize: a lookup table for each channel."""
    batch, channels, height, width = images.shape
    pixels = images.view(batch, channels, height * width).long()
    values = torch.arange(256, device=images.device, dtype=torch.float32)[None, None]
    factor, magnitude = (1 + magnitudes)[:, None, None], magnitudes[:, None, None]
    level = grayscale(images).floor().mean((1, 2, 3))[:, None, None]
    step = 2 ** (8 - magnitude)
    tables = {
        Operation.BRIGHTNESS: (values * factor).clamp(0, 255).trunc(),
        Operation.CONTRAST: (values * factor + level * (1 - factor)).clamp(0, 255).trunc(),
        Operation.POSTERIZE: (values / step).floor() * step,
        Operation.SOLARIZE: torch.where(values >= magnitude * 255, 255 - values, values),
        Operation.AUTO_CONTRAST: _stretch(pixels, values),
        Operation.EQUALIZE: _equalize(pixels, values),
    }
    table = values.expand(batch, channels, 256)
    for operation, mapped in tables.items():
        table = torch.where((operations == operation)[:, None, None], mapped, table)
    return table.gather(2, pixels).view_as(images)


def _stretch(pixels: Tensor, values: Tensor) -> Tensor:
    """[B, C, 256]: the range of each channel stretched to 0..255, unless it has one value only."""
    low, high = (x.float()[:, :, None] for x in torch.aminmax(pixels, dim=2))
    stretched = ((values - low) / ((high - low) * (1 / 255)).clamp(min=1e-6)).clamp(0, 255).trunc()
    return torch.where(low == high, values, stretched)


def _equalize(pixels: Tensor, values: Tensor) -> Tensor:
    """[B, C, 256]: the histogram of each channel equalized, by Pillow's rule."""
    batch, channels, count = pixels.shape
    histogram = torch.zeros(batch, channels, 256, device=pixels.device)
    histogram.scatter_add_(2, pixels, torch.ones(1, 1, 1, device=pixels.device).expand_as(pixels))
    below = histogram.cumsum(2)
    last = histogram.gather(2, pixels.amax(2, keepdim=True))
    step = ((count - last) / 255).floor()
    mapped = ((F.pad(below[..., :-1], (1, 0)) + (step / 2).floor()) / step.clamp(min=1)).floor().clamp(0, 255)
    mapped[..., 0] = 0
    return torch.where(step == 0, values, mapped)


def _blend(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """Saturation: away from grayscale; sharpness: away from the smoothed image."""
    is_color = (operations == Operation.COLOR)[:, None, None, None]
    is_sharpness = (operations == Operation.SHARPNESS)[:, None, None, None]
    factor = (1 + magnitudes)[:, None, None, None]
    other = torch.where(is_sharpness, _smooth(images), images)
    other = torch.where(is_color, grayscale(images).floor().expand_as(images), other)
    changed = (images * factor + other * (1 - factor)).clamp(0, 255).trunc()
    return torch.where(is_color | is_sharpness, changed, images)


def _smooth(images: Tensor) -> Tensor:
    """Pillow's filter SMOOTH, which leaves the border as it is."""
    if min(images.shape[-2:]) <= 2:
        return images
    around = F.avg_pool2d(images, 3, 1) * 9
    inner = ((around + 4 * images[..., 1:-1, 1:-1]) / 13).round()
    smoothed = images.clone()
    smoothed[..., 1:-1, 1:-1] = inner
    return smoothed
