"""A small custom dataset and model for interrupted runs: images, and a network with every kind of state."""

from __future__ import annotations

import crash  # the module beside this file
import torch
from torch import Tensor, nn

CLASSES, SIDE = 5, 10
TRAIN, VALIDATION, TEST = 640, 200, 200

Pairs = tuple[Tensor, Tensor]

crash.arm()


def make() -> tuple[Pairs, Pairs, Pairs]:
    """Noisy images of five patterns, uint8 [N, 1, 10, 10]: train, validation, test."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(CLASSES, 1, SIDE, SIDE, generator=generator)

    def part(count: int) -> Pairs:
        labels = torch.arange(count) % CLASSES
        noise = torch.randn(count, 1, SIDE, SIDE, generator=generator)
        images = (patterns[labels] + 1.5 * noise).mul(64).add(128).clamp(0, 255)
        return images.to(torch.uint8), labels

    return part(TRAIN), part(VALIDATION), part(TEST)


class Net(nn.Module):
    """Convolution, batch norm, dropout, dense."""

    def __init__(self, classes: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(shape[0], 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3)
        )  # fmt: skip
        self.head = nn.Linear(8 * 16, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(self.body(x))
        return logits
