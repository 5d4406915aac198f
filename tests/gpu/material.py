"""The data of the checks: what is installed, else generated, so that nothing is downloaded."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks import material

SIZES = {"cuda": (60_000, 50_000, 10_000), "cpu": (1_000, 500, 200)}
"""Training images in gray and in color, and test images; few where only the checks themselves are tried."""


def make(folder: Path, device: str) -> None:
    """Images in the layouts of MNIST and CIFAR-10 below `folder`."""
    grayscale, color, test = SIZES[device]
    material.grayscale(folder, grayscale, test)
    material.color(folder, color, test)


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2])
