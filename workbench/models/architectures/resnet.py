"""A small residual network for small images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3×3 convolutions with a shortcut: [N, C, H, W] → [N, channels, H/stride, W/stride]."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps [N, channels, H/stride, W/stride]."""
        return torch.relu(self.body(x) + self.shortcut(x))


class ResNet(nn.Module):
    """`depth` = 6n + 2 layers in three stages with 1, 2 and 4 times `width` channels: [N, C, H, W] → [N, outputs].

    Source: He et al., "Deep Residual Learning for Image Recognition", section 4.2, with projections as
    shortcuts where the shape changes (their option B).
    """

    def __init__(self, shape: Sequence[int], outputs: int, *, depth: int = 20, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(shape[0], width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        blocks: list[nn.Module] = []
        channels = width
        for stage in range(3):
            for i in range((depth - 2) // 6):
                blocks.append(Block(channels, width << stage, stride=2 if stage and not i else 1))
                channels = width << stage
        self.stages = nn.Sequential(*blocks)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, or the values of a regression."""
        output: Tensor = self.head(self.pool(self.stages(self.stem(x))))
        return output
