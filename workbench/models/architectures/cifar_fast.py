"""A small convolutional network that learns small photos in few steps: airbench94's architecture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH = 2
"""Side of the patches that the first convolution whitens."""
SPREAD = 5e-4
"""Added to each variance, so that directions of almost no variance are not amplified."""


class Stage(nn.Module):
    """Two 3×3 convolutions with batch norm, pooled in between: [N, C, H, W] → [N, channels, H/2, W/2]."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(inputs, channels), nn.MaxPool2d(2), _norm(channels), nn.GELU(),
            _convolution(channels, channels), _norm(channels), nn.GELU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps [N, channels, H/2, W/2]."""
        output: Tensor = self.body(x)
        return output


def _convolution(inputs: int, channels: int) -> nn.Conv2d:
    """A 3×3 convolution whose first `inputs` filters are initialized as the identity (dirac)."""
    convolution = nn.Conv2d(inputs, channels, 3, padding="same", bias=False)
    with torch.no_grad():
        nn.init.dirac_(convolution.weight[:inputs])
    return convolution


def _norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with learned shifts, fixed scales, and fast running statistics."""
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm


class CifarFast(nn.Module):
    """Whitened patches, three stages, one dense layer: [N, C, H, W] → [N, outputs]; H and W at least 9.

    Source: the network of airbench94 (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498,
    section 3): the first convolution is frozen and whitens patches of 2×2, the others are initialized as identities.
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
        """Logits, or the values of a regression, divided by 9: large initial logits would slow down training."""
        output: Tensor = self.head(self.stages(self.whiten(x)).amax((2, 3))) / 9
        return output

    def begin_from(self, inputs: Tensor) -> None:
        """Initialize the first convolution to whiten patches: the scaled eigenvectors of the patches of `inputs`.

        `inputs`: float32 [N, C, H, W], some thousand preprocessed training samples.
        """
        values, vectors = torch.linalg.eigh(_second_moments(inputs))
        filters = (vectors / (values + SPREAD).sqrt()).T.flip(0).reshape(-1, *self.whiten.weight.shape[1:])
        with torch.no_grad():
            self.whiten.weight.copy_(torch.cat([filters, -filters]))


def _second_moments(inputs: Tensor) -> Tensor:
    """The second-moment matrix of the values of a patch, over all patches: float64 [C*4, C*4]."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for chunk in inputs.split(500):
        patches = functional.unfold(chunk, PATCH).transpose(1, 2).flatten(0, 1).double()
        total = total + patches.T @ patches
        count += len(patches)
    return total / count
