"""LeNet-5."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class LeNet(nn.Module):
    """LeCun et al. 1998 with dense connections between the maps: [N, C, H, W] → [N, outputs]; H, W at least 12.

    Source: "Gradient-Based Learning Applied to Document Recognition", section II.B. The two pixels that
    the paper adds around 28×28 images are the padding of the first convolution.
    """

    def __init__(self, shape: Sequence[int], outputs: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
            nn.Flatten(),
        )  # fmt: skip
        flat = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
        self.dense = nn.Sequential(nn.Linear(flat, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh())
        self.head = nn.Linear(84, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, or the values of a regression."""
        output: Tensor = self.head(self.dense(self.features(x)))
        return output
