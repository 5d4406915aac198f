"""Shifts of the hue of images, each its own."""

from __future__ import annotations

import torch
from torch import Tensor


def shift_hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Images with their hue shifted by a part of the circle (torchvision's `adjust_hue`).

    `images`: float [B, 3, H, W] from 0 to 255, images of one channel stay as they are; `shifts`: [B], -0.5 to 0.5.
    """
    if images.shape[1] != 3:
        return images
    red, green, blue = images.unbind(1)
    low, high = torch.aminmax(images, dim=1)
    spread = (high - low).clamp(min=1e-6)
    from_green = torch.where(high == green, 2 + (blue - red) / spread, 4 + (red - green) / spread)
    sector = torch.where(high == red, (green - blue) / spread, from_green)
    hue = (sector + 6 * shifts[:, None, None]).remainder(6)
    # Each channel falls and rises with the distance of the hue from its own: 0, 2 and 4 of 6.
    channels = [high - (high - low) * _distance(hue, offset) for offset in (5, 3, 1)]
    return torch.stack(channels, 1)


def _distance(hue: Tensor, offset: int) -> Tensor:
    """How far a channel is below the highest one, 0..1."""
    position = (hue + offset).remainder(6)
    return torch.minimum(position, 4 - position).clamp(0, 1)
