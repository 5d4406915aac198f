"""Test-time augmentation: a model's mean answer to several views of the same pictures."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def seen_often(module: Callable[[Tensor], Tensor], how: str) -> Callable[[Tensor], Tensor]:
    """`module` whose outputs are means over views, as `train.tta` names them; `none` is the module itself.

    `mirror`: a picture and its mirror image. `translate`: half of it that, the other half the same of the picture
    moved by one pixel to the upper left and to the lower right, its border mirrored (airbench94's; Jordan,
    arXiv:2404.00498, section 3.5). Inputs: float [N, C, H, W].
    """
    if how == "none":
        return module

    def mirrored(x: Tensor) -> Tensor:
        return (module(x) + module(x.flip(-1))) / 2

    def moved(x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), "reflect")
        return mirrored(x) / 2 + (mirrored(padded[..., :-2, :-2]) + mirrored(padded[..., 2:, 2:])) / 4

    return mirrored if how == "mirror" else moved
