"""The convolutional network of PyTorch's CIFAR-10 tutorial."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class ConvNet(nn.Module):
    """Conv 6@5×5, pool, conv 16@5×5, pool, dense 120, 84: [N, C, H, W] → [N, outputs]; H and W at least 16.

    Source: https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html (there 3×32×32, 10 classes).
    """

    def __init__(self, shape: Sequence[int], outputs: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(),
        )  # fmt: skip
        flat = 16 * _feature_side(height) * _feature_side(width)
        self.dense = nn.Sequential(nn.Linear(flat, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU())
        self.head = nn.Linear(84, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, or the values of a regression."""
        output: Tensor = self.head(self.dense(self.features(x)))
        return output


def _feature_side(side: int) -> int:
    """The side of the feature maps after two blocks of a 5×5 convolution without padding and 2×2 pooling."""
    return ((side - 4) // 2 - 4) // 2
