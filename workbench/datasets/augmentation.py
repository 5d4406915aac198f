"""Augmentation of a batch of images on its own device, from random numbers drawn beforehand.

The random numbers of an epoch form a table with a row per sample, so the augmentation of an image depends only on the
seed, the epoch and its index: neither on its batch, nor on where a run was interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.core.errors import UserError, did_you_mean
from workbench.datasets import mixup
from workbench.datasets.augmentation_options import AugmentationOptions
from workbench.datasets.crops import CROP_DRAWS, crop_and_resize, random_boxes
from workbench.datasets.dataset import Cut
from workbench.datasets.drawing import derived_seed
from workbench.datasets.grayscale import grayscale
from workbench.datasets.hue import shift_hue
from workbench.datasets.mixup import Mix
from workbench.datasets.random_ops import RAND_DRAWS, TRIVIAL_DRAWS, rand_augment, trivial_augment

ERASE_AREA = (0.02, 0.2)
GRAYSCALE_CHANCE = 0.2
BLUR_CHANCE = 0.5
BLUR_SIGMA = (0.1, 2.0)
_BLUR_RADIUS = 6


@dataclass(frozen=True)
class _Augmentation:
    draws: int
    """Random numbers that it uses per image."""
    apply: Callable[[Tensor, Tensor, AugmentationOptions], Tensor]
    """Maps float images [B, C, H, W] from 0 to 255, and draws [B, `draws`] from 0 to 1, to images of that shape."""
    draws_with: Callable[[AugmentationOptions], int] | None = None
    """The random numbers where they depend on options."""

    def columns(self, options: AugmentationOptions) -> int:
        """The random numbers with these options."""
        return self.draws if self.draws_with is None else self.draws_with(options)


def _crop(images: Tensor, draws: Tensor, _: AugmentationOptions) -> Tensor:
    """Shift randomly by up to 4 pixels (12 % from 34 pixels on), padding with black."""
    pad = max(4, round(0.12 * min(images.shape[-2:])))
    return _window(F.pad(images, (pad, pad, pad, pad)), draws, pad)


def _translate(images: Tensor, draws: Tensor, _: AugmentationOptions) -> Tensor:
    """Shift randomly by up to 2 pixels, padding by reflection."""
    pad = min(2, min(images.shape[-2:]) - 1)
    return _window(F.pad(images, (pad, pad, pad, pad), "reflect"), draws, pad)


def _window(padded: Tensor, draws: Tensor, pad: int) -> Tensor:
    """A random window of each padded image, of its size before padding, at the position draws [B, 2]."""
    height, width = (side - 2 * pad for side in padded.shape[-2:])
    offsets = (draws * (2 * pad + 1)).long().clamp_(max=2 * pad)
    rows = offsets[:, 0, None] + torch.arange(height, device=padded.device)
    columns = offsets[:, 1, None] + torch.arange(width, device=padded.device)
    batch = torch.arange(len(padded), device=padded.device)[:, None, None, None]
    channel = torch.arange(padded.shape[1], device=padded.device)[None, :, None, None]
    return padded[batch, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _flip(images: Tensor, draws: Tensor, _: AugmentationOptions) -> Tensor:
    """Flip half of the images left to right."""
    return torch.where(draws[:, :1, None, None] < 0.5, images.flip(-1), images)


def _flip_vertically(images: Tensor, draws: Tensor, _: AugmentationOptions) -> Tensor:
    """Flip half of the images top to bottom."""
    return torch.where(draws[:, :1, None, None] < 0.5, images.flip(-2), images)


def _rotate(images: Tensor, draws: Tensor, options: AugmentationOptions) -> Tensor:
    """Rotate about the center (bilinear), padding with black."""
    angle = (draws[:, 0] * 2 - 1) * math.radians(options.rotate_degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    stretch = images.shape[-1] / images.shape[-2]
    rows = (torch.stack([cos, -sin / stretch, zero], 1), torch.stack([sin * stretch, cos, zero], 1))
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _color_jitter(images: Tensor, draws: Tensor, options: AugmentationOptions) -> Tensor:
    """Scale brightness, contrast and saturation, and shift the hue, in this order (blended as in torchvision)."""
    factors = (1 + (draws[:, :3] * 2 - 1) * options.jitter)[:, :, None, None, None]
    bright = (images * factors[:, 0]).clamp_(0, 255)
    level = grayscale(bright).mean((1, 2, 3), keepdim=True)
    contrasted = torch.lerp(level, bright, factors[:, 1]).clamp_(0, 255)
    colored = torch.lerp(grayscale(contrasted), contrasted, factors[:, 2]).clamp_(0, 255)
    return shift_hue(colored, (draws[:, 3] * 2 - 1) * options.jitter_hue) if options.jitter_hue else colored


def _to_grayscale(images: Tensor, draws: Tensor, _: AugmentationOptions) -> Tensor:
    """Convert a fifth of the images to grayscale."""
    return torch.where(draws[:, :1, None, None] < GRAYSCALE_CHANCE, grayscale(images), images)


def _blur(images: Tensor, draws: Tensor, _: AugmentationOptions) -> Tensor:
    """Gaussian blur of 0.1 to 2 pixels in half of the images, padding by reflection."""
    batch, channels, height, width = images.shape
    radius = min(_BLUR_RADIUS, height - 1, width - 1)
    low, high = BLUR_SIGMA
    sigma = low + draws[:, 1] * (high - low)
    distance = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-(distance**2) / (2 * sigma[:, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    x = F.pad(images, (radius, radius, radius, radius), "reflect").flatten(0, 1)[None]
    x = F.conv2d(x, kernel[:, None, :, None], groups=batch * channels)
    x = F.conv2d(x, kernel[:, None, None, :], groups=batch * channels)
    return torch.where(draws[:, :1, None, None] < BLUR_CHANCE, x[0].view_as(images), images)


def _erase(images: Tensor, draws: Tensor, options: AugmentationOptions) -> Tensor:
    """Fill a random rectangle of 2 to 20 % of the area with the image's mean color, in some of the images.

    After random erasing (Zhong et al., arXiv:1708.04896).
    """
    height, width = images.shape[-2:]
    low, high = ERASE_AREA
    area = low + draws[:, 1] * (high - low)
    ratio = torch.exp((draws[:, 2] * 2 - 1) * math.log(3.0))
    half_height, half_width = (area * ratio).sqrt() * height / 2, (area / ratio).sqrt() * width / 2
    y = torch.arange(height, device=images.device) + 0.5 - (draws[:, 3] * height)[:, None]
    x = torch.arange(width, device=images.device) + 0.5 - (draws[:, 4] * width)[:, None]
    inside = (y.abs() < half_height[:, None])[:, :, None] & (x.abs() < half_width[:, None])[:, None, :]
    inside &= (draws[:, 0] < options.erase_chance)[:, None, None]
    return torch.where(inside[:, None], images.mean((2, 3), keepdim=True), images)


_AUGMENTATIONS = {
    "crop": _Augmentation(2, _crop),
    "translate": _Augmentation(2, _translate),
    "flip": _Augmentation(1, _flip),
    "altflip": _Augmentation(1, _flip),
    "vflip": _Augmentation(1, _flip_vertically),
    "rotate": _Augmentation(1, _rotate),
    "colour": _Augmentation(3, _color_jitter, lambda options: 4 if options.jitter_hue else 3),
    "erase": _Augmentation(5, _erase),
    "grayscale": _Augmentation(1, _to_grayscale),
    "blur": _Augmentation(2, _blur),
    "trivial-augment": _Augmentation(TRIVIAL_DRAWS, lambda images, draws, _: trivial_augment(images, draws)),
    "rand-augment": _Augmentation(
        2 * RAND_DRAWS,
        lambda images, draws, options: rand_augment(images, draws, options.rand_magnitude),
        lambda options: options.rand_ops * RAND_DRAWS,
    ),
}
RESIZED_CROP = "resized-crop"
NAMES = (RESIZED_CROP, *_AUGMENTATIONS, *mixup.NAMES)


_DEFAULTS = AugmentationOptions()


class Augment:
    """A sequence of augmentations by name. Raises `UserError` for an unknown name.

    `altflip` flips a random half of the images in the first epoch and from then on each image in every other epoch,
    so that both orientations occur equally often (Jordan, arXiv:2404.00498, section 3.6). Augmentations that mix two
    images are applied last, per batch: see `mixer`. `resized-crop` is applied first: it may make inputs of images that
    are stored larger.
    """

    def __init__(self, names: Sequence[str], options: AugmentationOptions = _DEFAULTS) -> None:
        for name in names:
            if name not in NAMES:
                known = ", ".join(NAMES)
                raise UserError(
                    f"train.augment: unknown augmentation '{name}'{did_you_mean(name, NAMES)}; known: {known}"
                )
        per_image = [name for name in names if name in _AUGMENTATIONS]
        self._augmentations = [_AUGMENTATIONS[name] for name in per_image]
        widths = self._widths = [augmentation.columns(options) for augmentation in self._augmentations]
        self._crops, self._options = RESIZED_CROP in names, options
        self._first = CROP_DRAWS if self._crops else 0
        self._altflip_columns = [
            self._first + sum(widths[:i]) for i, name in enumerate(per_image) if name == "altflip"
        ]
        self._mixing_names = tuple(name for name in names if name in mixup.NAMES)
        self.columns = self._first + sum(widths)
        """Random numbers per sample, without those of `mixer`."""

    def mixer(self, classes: int) -> Mix | None:
        """The `Mix` for images of `classes` classes; `None` if no name asks for mixing."""
        return Mix(self._mixing_names, classes) if self._mixing_names else None

    def draws(self, count: int, seed: int, epoch: int = 0) -> Tensor:
        """The random numbers of an epoch: float32 [count, columns (plus `Mix.COLUMNS`)] from 0 to 1, on the CPU.

        A pure function of `seed` and `epoch`.
        """
        columns = self.columns + (Mix.COLUMNS if self._mixing_names else 0)
        table = _uniform(count, columns, derived_seed(seed, "augment", epoch))
        for column in self._altflip_columns:
            first_epoch = _uniform(count, 1, derived_seed(seed, "altflip"))[:, 0]
            table[:, column] = first_epoch if epoch % 2 == 0 else 1 - first_epoch
        return table

    def __call__(
        self, images: Tensor, draws: Tensor, cut: Cut | None = None, aspects: Tensor | None = None
    ) -> Tensor:
        """Augmented images of the same dtype, and of the same shape or that of the `cut` of images stored larger.

        `images`: uint8, or float from 0 to 1, [B, C, H, W]; `draws`: their rows of the table, on the same device;
        `aspects`: their original width / height, float32 [B]; `None`: they have their own shape.
        """
        if not self._augmentations and not self._crops and cut is None:
            return images
        is_uint8 = images.dtype == torch.uint8
        augmented = self._crop(images.float() if is_uint8 else images * 255, draws, cut, aspects)
        start = self._first
        for augmentation, width in zip(self._augmentations, self._widths, strict=True):
            augmented = augmentation.apply(augmented, draws[:, start : start + width], self._options)
            start += width
        return augmented.round_().clamp_(0, 255).to(torch.uint8) if is_uint8 else augmented / 255

    def _crop(self, images: Tensor, draws: Tensor, cut: Cut | None, aspects: Tensor | None) -> Tensor:
        """Random-resized crops, or the centers of images that are stored larger; float [B, C, H, W]."""
        size = (images.shape[-2], images.shape[-1]) if cut is None else cut.size
        aspects = torch.ones(len(images), device=images.device) if aspects is None else aspects
        if self._crops:
            scale, ratio = (self._options.crop_scale, 1.0), self._options.crop_ratio
            boxes = random_boxes(draws[:, :CROP_DRAWS], aspects, scale, (1 / ratio, ratio))
        elif cut is not None:
            boxes = cut.boxes(aspects)
        else:
            return images
        return crop_and_resize(images, boxes, size)


def _uniform(count: int, columns: int, seed: int) -> Tensor:
    return torch.rand(count, columns, generator=torch.Generator().manual_seed(seed))
