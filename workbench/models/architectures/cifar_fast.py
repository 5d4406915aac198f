"""A small convolutional network that learns small photos in few steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH = 2
"""Side of the patches that the first convolution whitens."""
SPREAD = 5e-4
"""Added to each variance, so that directions of next to none are not blown up."""


class Stage(nn.Module):
    """Two 3×3 convolutions with norms, halved between them: [N, C, H, W] → [N, channels, H/2, W/2]."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(inputs, channels), nn.MaxPool2d(2), _norm(channels), nn.GELU(),
            _convolution(channels, channels), _norm(channels), nn.GELU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """The stage's maps."""
        output: Tensor = self.body(x)
        return output


def _convolution(inputs: int, channels: int) -> nn.Conv2d:
    """One that passes its inputs on as they are (dirac), as far as there are channels for them."""
    made = nn.Conv2d(inputs, channels, 3, padding="same", bias=False)
    with torch.no_grad():
        nn.init.dirac_(made.weight[:inputs])
    return made


def _norm(channels: int) -> nn.BatchNorm2d:
    """Learned shifts and no learned scales; statistics that follow quickly."""
    made = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    made.weight.requires_grad_(False)
    return made


class CifarFast(nn.Module):
    """Whitened patches, three stages, one dense layer: [N, C, H, W] → [N, outputs]; H and W from 9 on.

    Source: the network of airbench94 (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498,
    section 3): the first convolution is frozen and whitens patches of 2×2, the others begin as identities.
    """

    def __init__(self, shape: Sequence[int], outputs: int, *, widths: Sequence[int] = (64, 256, 256)) -> None:
        super().__init__()
        patch = shape[0] * PATCH**2
        self.whiten = nn.Conv2d(shape[0], 2 * patch, PATCH)
        nn.init.zeros_(self.whiten.bias)  # type: ignore[arg-type]
        self.whiten.weight.requires_grad_(False)
        pairs = zip((2 * patch, *widths), widths, strict=False)
        self.stages = nn.Sequential(nn.GELU(), *(Stage(a, b) for a, b in pairs))
        self.head = nn.Linear(widths[-1], outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (or the values of a regression), made small: large ones at the start would be unlearned first."""
        output: Tensor = self.head(self.stages(self.whiten(x)).amax((2, 3))) / 9
        return output

    def begin_from(self, inputs: Tensor) -> None:
        """Whiten: the first filters become the directions in which patches of `inputs` vary, each scaled to 1.

        `inputs`: float32 [N, C, H, W], some thousands as the network will see them.
        """
        values, vectors = torch.linalg.eigh(_second_moments(inputs))
        filters = (vectors / (values + SPREAD).sqrt()).T.flip(0).reshape(-1, *self.whiten.weight.shape[1:])
        with torch.no_grad():
            self.whiten.weight.copy_(torch.cat([filters, -filters]))


def _second_moments(inputs: Tensor) -> Tensor:
    """Mean products of the values of a patch, over all patches: float64 [C*4, C*4]."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for some in inputs.split(500):
        patches = functional.unfold(some, PATCH).transpose(1, 2).flatten(0, 1).double()
        total = total + patches.T @ patches
        count += len(patches)
    return total / count
