"""Augmentation of a batch of pictures on its own device, from random numbers drawn beforehand.

The numbers of an epoch are one table (a row per example), so what happens to a picture depends on the seed, the
epoch and its index alone: not on the batch it is in, nor on where a run was cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.core.errors import BadInput, nearest
from workbench.datasets import mixup
from workbench.datasets.dataset import derived_seed
from workbench.datasets.mixup import Mix

LUMA = (0.299, 0.587, 0.114)
"""Grey of red, green and blue: ITU-R BT.601, as Pillow does it."""
MAX_DEGREES = 15.0
COLOUR_STRENGTH = 0.4
ERASE_CHANCE = 0.5
ERASE_AREA = (0.02, 0.2)


@dataclass(frozen=True)
class _Augmentation:
    draws: int
    """Random numbers it takes for one picture."""
    apply: Callable[[Tensor, Tensor], Tensor]
    """(float pictures [B, C, H, W] from 0 to 255, draws [B, `draws`] from 0 to 1) to pictures of the same shape."""


def _crop(pictures: Tensor, draws: Tensor) -> Tensor:
    """Shifted at random by up to 4 pixels (12 % from 34 pixels on), what comes in is black."""
    pad = max(4, round(0.12 * min(pictures.shape[-2:])))
    return _window(F.pad(pictures, (pad, pad, pad, pad)), draws, pad)


def _translate(pictures: Tensor, draws: Tensor) -> Tensor:
    """Shifted at random by up to 2 pixels, what comes in is the picture's own border, mirrored."""
    pad = min(2, min(pictures.shape[-2:]) - 1)
    return _window(F.pad(pictures, (pad, pad, pad, pad), "reflect"), draws, pad)


def _window(padded: Tensor, draws: Tensor, pad: int) -> Tensor:
    """A part of each padded picture, as large as it was before: drawn by draws [B, 2]."""
    height, width = (side - 2 * pad for side in padded.shape[-2:])
    offsets = (draws * (2 * pad + 1)).long().clamp_(max=2 * pad)
    rows = offsets[:, 0, None] + torch.arange(height, device=padded.device)
    columns = offsets[:, 1, None] + torch.arange(width, device=padded.device)
    batch = torch.arange(len(padded), device=padded.device)[:, None, None, None]
    channel = torch.arange(padded.shape[1], device=padded.device)[None, :, None, None]
    return padded[batch, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _flip(pictures: Tensor, draws: Tensor) -> Tensor:
    """Left and right swapped in half of the pictures."""
    return torch.where(draws[:, :1, None, None] < 0.5, pictures.flip(-1), pictures)


def _flip_vertically(pictures: Tensor, draws: Tensor) -> Tensor:
    """Top and bottom swapped in half of the pictures."""
    return torch.where(draws[:, :1, None, None] < 0.5, pictures.flip(-2), pictures)


def _rotate(pictures: Tensor, draws: Tensor) -> Tensor:
    """Turned about the centre by up to 15 degrees either way, bilinear, corners black."""
    angle = (draws[:, 0] * 2 - 1) * math.radians(MAX_DEGREES)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    stretch = pictures.shape[-1] / pictures.shape[-2]
    rows = (torch.stack([cos, -sin / stretch, zero], 1), torch.stack([sin * stretch, cos, zero], 1))
    grid = F.affine_grid(torch.stack(rows, 1), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, align_corners=False)


def _colour(pictures: Tensor, draws: Tensor) -> Tensor:
    """Brightness, contrast and saturation each times 0.6 to 1.4, in this order (as torchvision blends them)."""
    factors = (1 + (draws * 2 - 1) * COLOUR_STRENGTH)[:, :, None, None, None]
    bright = (pictures * factors[:, 0]).clamp_(0, 255)
    level = _grey(bright).mean((1, 2, 3), keepdim=True)
    contrasted = torch.lerp(level, bright, factors[:, 1]).clamp_(0, 255)
    return torch.lerp(_grey(contrasted), contrasted, factors[:, 2]).clamp_(0, 255)


def _grey(pictures: Tensor) -> Tensor:
    """[B, C, H, W] to [B, 1, H, W]."""
    if pictures.shape[1] != len(LUMA):
        return pictures.mean(1, keepdim=True)
    return (pictures * _luma(pictures.device)).sum(1, keepdim=True)


@cache
def _luma(device: torch.device) -> Tensor:
    """Made once: putting it on a device anew would wait for the device."""
    return torch.tensor(LUMA, device=device)[None, :, None, None]


def _erase(pictures: Tensor, draws: Tensor) -> Tensor:
    """In half of the pictures, a rectangle of 2 to 20 % of the area takes the picture's mean colour.

    After random erasing (Zhong et al., arXiv:1708.04896).
    """
    height, width = pictures.shape[-2:]
    low, high = ERASE_AREA
    area = low + draws[:, 1] * (high - low)
    ratio = torch.exp((draws[:, 2] * 2 - 1) * math.log(3.0))
    half_height, half_width = (area * ratio).sqrt() * height / 2, (area / ratio).sqrt() * width / 2
    y = torch.arange(height, device=pictures.device) + 0.5 - (draws[:, 3] * height)[:, None]
    x = torch.arange(width, device=pictures.device) + 0.5 - (draws[:, 4] * width)[:, None]
    inside = (y.abs() < half_height[:, None])[:, :, None] & (x.abs() < half_width[:, None])[:, None, :]
    inside &= (draws[:, 0] < ERASE_CHANCE)[:, None, None]
    return torch.where(inside[:, None], pictures.mean((2, 3), keepdim=True), pictures)


_AUGMENTATIONS = {
    "crop": _Augmentation(2, _crop),
    "translate": _Augmentation(2, _translate),
    "flip": _Augmentation(1, _flip),
    "altflip": _Augmentation(1, _flip),
    "vflip": _Augmentation(1, _flip_vertically),
    "rotate": _Augmentation(1, _rotate),
    "colour": _Augmentation(3, _colour),
    "erase": _Augmentation(5, _erase),
}
NAMES = (*_AUGMENTATIONS, *mixup.NAMES)


class Augment:
    """The augmentations of the given names, one after the other. Raises `BadInput` for a name it does not know.

    `altflip` flips half of the pictures in the first epoch and from then on every picture in every other epoch, so
    that each is seen both ways equally often (Jordan, arXiv:2404.00498, section 3.6). What mixes two pictures
    comes last, batch by batch: see `mix`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in NAMES:
                known = ", ".join(NAMES)
                raise BadInput(f"train.augment: there is no '{name}'{nearest(name, NAMES)}; known: {known}")
        own = [name for name in names if name in _AUGMENTATIONS]
        self._parts = [_AUGMENTATIONS[name] for name in own]
        widths = [part.draws for part in self._parts]
        self._alternating = [sum(widths[:i]) for i, name in enumerate(own) if name == "altflip"]
        self._mixing = tuple(name for name in names if name in mixup.NAMES)
        self.columns = sum(widths)
        """Random numbers an example takes for itself."""

    def mix(self, classes: int) -> Mix | None:
        """What mixes pictures of so many classes, where a name says so."""
        return Mix(self._mixing, classes) if self._mixing else None

    def draws(self, count: int, seed: int, epoch: int = 0) -> Tensor:
        """The table of an epoch: float32 [count, columns (and what `mix` takes)] from 0 to 1, on the CPU.

        A function of `seed` and `epoch`.
        """
        columns = self.columns + (Mix.COLUMNS if self._mixing else 0)
        table = _uniform(count, columns, derived_seed(seed, "augment", epoch))
        for column in self._alternating:
            once = _uniform(count, 1, derived_seed(seed, "altflip"))[:, 0]
            table[:, column] = once if epoch % 2 == 0 else 1 - once
        return table

    def __call__(self, pictures: Tensor, draws: Tensor) -> Tensor:
        """Augmented pictures of the same shape and dtype.

        `pictures`: uint8, or float from 0 to 1, [B, C, H, W]; `draws`: their rows of the table, on the same device.
        """
        if not self._parts:
            return pictures
        whole = pictures.dtype == torch.uint8
        augmented = pictures.float() if whole else pictures * 255
        start = 0
        for part in self._parts:
            augmented = part.apply(augmented, draws[:, start : start + part.draws])
            start += part.draws
        return augmented.round_().clamp_(0, 255).to(torch.uint8) if whole else augmented / 255


def _uniform(count: int, columns: int, seed: int) -> Tensor:
    return torch.rand(count, columns, generator=torch.Generator().manual_seed(seed))
