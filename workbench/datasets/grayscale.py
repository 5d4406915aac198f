"""Grayscale of color images."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grayscale: ITU-R BT.601, as in Pillow."""


def grayscale(images: Tensor) -> Tensor:
    """[B, C, H, W] to [B, 1, H, W]."""
    if images.shape[1] != len(LUMA):
        return images.mean(1, keepdim=True)
    return (images * luma_weights(images.device)).sum(1, keepdim=True)


@cache
def luma_weights(device: torch.device) -> Tensor:
    """`LUMA` as float32 [1, 3, 1, 1]; cached, as copying it to the device would synchronize with the device."""
    return torch.tensor(LUMA, device=device)[None, :, None, None]
