"""Mixup and CutMix: blends two images into one, with soft targets in proportion to the share of each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

NAMES = ("mixup", "cutmix")


class Mix:
    """Mixes every image of a batch with another one of the batch; with both names, one is drawn for each image.

    mixup (Zhang et al., arXiv:1710.09412) blends the images, cutmix (Yun et al., arXiv:1905.04899) pastes a rectangle
    of one into the other. The share of the first is uniform from 0 to 1, that is Beta(1, 1), which both papers use
    for small images.
    """

    COLUMNS = 4
    """Random numbers per image: which of the two, the share, and the center of the rectangle."""

    def __init__(self, names: Sequence[str], classes: int) -> None:
        self._cut_chance = names.count("cutmix") / len(names)
        self._classes = classes

    def __call__(
        self, images: Tensor, labels: Tensor, draws: Tensor, others: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mixed images, their main labels and their soft targets (float32 [B, classes], rows summing to 1).

        `images`: float [B, C, H, W]; `labels`: int64 [B]; `draws`: [B, 4] from 0 to 1; `others`: int64 [B], the index
        of the image that each one is mixed with. The main label is that of the image with the larger share; training
        accuracy is measured against it and therefore can't reach 1.
        """
        height, width = images.shape[-2:]
        cut = (draws[:, 0] < self._cut_chance)[:, None, None]
        inside = _rectangles(draws, height, width)
        weight = torch.where(cut, inside, 1 - draws[:, 1, None, None])
        mixed = torch.lerp(images, images.index_select(0, others), weight[:, None].to(images.dtype))
        share = weight.expand(-1, height, width).mean((1, 2))
        other_labels = labels.index_select(0, others)
        soft = torch.lerp(
            _one_hot(labels, self._classes), _one_hot(other_labels, self._classes), share[:, None]
        )
        return mixed, torch.where(share > 0.5, other_labels, labels), soft


def _rectangles(draws: Tensor, height: int, width: int) -> Tensor:
    """float32 [B, H, W]: 1 inside a rectangle of 1 - share of the area, which is clipped at the borders."""
    half = (1 - draws[:, 1]).sqrt()[:, None] / 2
    y = (torch.arange(height, device=draws.device) + 0.5) / height - draws[:, 2, None]
    x = (torch.arange(width, device=draws.device) + 0.5) / width - draws[:, 3, None]
    return ((y.abs() < half)[:, :, None] & (x.abs() < half)[:, None, :]).float()


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    return F.one_hot(labels, classes).float()


def mixing_partners(bounds: Sequence[tuple[int, int]]) -> Tensor:
    """The index of the sample that each sample of some batches is mixed with: int64, on the CPU.

    The partners are the batch in reverse; its order is random already.
    """
    return torch.cat([torch.arange(stop - 1, start - 1, -1) for start, stop in bounds]) - bounds[0][0]
