"""Crops of stored images, cut out and resized on the device that holds them: bilinear, antialiased, each its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

CROP_DRAWS = 4
"""Random numbers of a random-resized crop: its area, its aspect ratio, and its place."""


def center_boxes(aspects: Tensor, share: float) -> Tensor:
    """The center square of images, float32 [B, 4]: left, top, right and bottom as parts of their sides.

    `aspects`: width / height of the images, float32 [B]; `share`: the side of the square by their shorter side.
    """
    width, height = share / aspects.clamp(min=1), share * aspects.clamp(max=1)
    return torch.stack([1 - width, 1 - height, 1 + width, 1 + height], 1) / 2


def random_boxes(draws: Tensor, aspects: Tensor, scale: Sequence[float], ratio: Sequence[float]) -> Tensor:
    """Random crops as of torchvision's `RandomResizedCrop`, float32 [B, 4] as `center_boxes`.

    `draws`: [B, 4] from 0 to 1; `scale`: the least and greatest part of the area; `ratio`: of width / height. Where
    torchvision draws again until a crop fits, the area is drawn among those that fit, so that four draws are enough.
    """
    low, high = (math.log(value) for value in ratio)
    relative = torch.exp(low + draws[:, 1] * (high - low)) / aspects
    largest = torch.minimum(relative, 1 / relative)
    least, most = largest.clamp(max=scale[0]), largest.clamp(max=scale[1])
    area = least + draws[:, 0] * (most - least)
    width, height = (area * relative).sqrt().clamp(max=1), (area / relative).sqrt().clamp(max=1)
    left, top = draws[:, 2] * (1 - width), draws[:, 3] * (1 - height)
    return torch.stack([left, top, left + width, top + height], 1)


def crop_and_resize(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes of images, each resized to `size` (height, width): bilinear, antialiased (torchvision's `resized_crop`).

    `images`: float32 [B, C, H, W]; `boxes`: [B, 4] as `center_boxes`. Two products of matrices for each image.
    """
    batch, channels, height, width = images.shape
    columns = _weights(boxes[:, 0], boxes[:, 2], width, size[1])
    rows = _weights(boxes[:, 1], boxes[:, 3], height, size[0])
    x = torch.bmm(images.reshape(batch, channels * height, width), columns.transpose(1, 2))
    x = x.view(batch, channels, height, size[1]).transpose(1, 2).reshape(batch, height, channels * size[1])
    return torch.bmm(rows, x).view(batch, size[0], channels, size[1]).transpose(1, 2).contiguous()


def _weights(start: Tensor, stop: Tensor, length: int, side: int) -> Tensor:
    """The share of each pixel of a line in each pixel of its crop: float32 [B, side, length], rows summing to 1."""
    start, size = start[:, None, None] * length, ((stop - start) * length).clamp(min=1)[:, None, None]
    scale = size / side
    centers = start + (torch.arange(side, device=start.device)[:, None] + 0.5) * scale
    pixels = torch.arange(length, device=start.device) + 0.5
    weights = (1 - (pixels - centers).abs() / scale.clamp(min=1)).clamp(min=0)
    # The crop ends at its border: pixels outside of it are not mixed in.
    weights = weights * ((pixels > start - 1e-3) & (pixels < start + size + 1e-3))
    return weights / weights.sum(2, keepdim=True).clamp(min=1e-6)
