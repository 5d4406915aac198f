"""Two pictures in one: mixup and cutmix, with targets that say how much of each class there is to see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

NAMES = ("mixup", "cutmix")


class Mix:
    """Mixes every picture of a batch with another one of it; of two names, a draw chooses for each picture.

    mixup (Zhang et al., arXiv:1710.09412) adds the pictures, cutmix (Yun et al., arXiv:1905.04899) puts a
    rectangle of one into the other. The share of the first is uniform from 0 to 1, which is Beta(1, 1): what
    both papers take for small pictures.
    """

    COLUMNS = 4
    """Random numbers it takes for one picture: which of the two, the share, and the rectangle's middle."""

    def __init__(self, names: Sequence[str], classes: int) -> None:
        self._cut_chance = names.count("cutmix") / len(names)
        self._classes = classes

    def __call__(
        self, pictures: Tensor, labels: Tensor, draws: Tensor, others: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mixed pictures, their main labels and their soft targets (float32 [B, classes], rows summing to 1).

        `pictures`: float [B, C, H, W]; `labels`: int64 [B]; `draws`: [B, 4] from 0 to 1; `others`: int64 [B], which
        picture of these each is mixed with. The main label is that of the picture with the larger share; accuracy
        in training is measured against it, and so can't come near 1.
        """
        height, width = pictures.shape[-2:]
        cut = (draws[:, 0] < self._cut_chance)[:, None, None]
        inside = _rectangles(draws, height, width)
        of_other = torch.where(cut, inside, 1 - draws[:, 1, None, None])
        mixed = torch.lerp(pictures, pictures.index_select(0, others), of_other[:, None].to(pictures.dtype))
        share = of_other.expand(-1, height, width).mean((1, 2))
        theirs = labels.index_select(0, others)
        soft = torch.lerp(_one_hot(labels, self._classes), _one_hot(theirs, self._classes), share[:, None])
        return mixed, torch.where(share > 0.5, theirs, labels), soft


def _rectangles(draws: Tensor, height: int, width: int) -> Tensor:
    """float32 [B, H, W]: 1 where the other picture shows, a part 1 - share of the area, cut off at the borders."""
    half = (1 - draws[:, 1]).sqrt()[:, None] / 2
    y = (torch.arange(height, device=draws.device) + 0.5) / height - draws[:, 2, None]
    x = (torch.arange(width, device=draws.device) + 0.5) / width - draws[:, 3, None]
    return ((y.abs() < half)[:, :, None] & (x.abs() < half)[:, None, :]).float()


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    return F.one_hot(labels, classes).float()


def partners(bounds: Sequence[tuple[int, int]]) -> Tensor:
    """For each example of some batches, the one of its own batch that it is mixed with: int64, on the CPU.

    The batch read backwards: its order is random already.
    """
    return torch.cat([torch.arange(stop - 1, start - 1, -1) for start, stop in bounds]) - bounds[0][0]
