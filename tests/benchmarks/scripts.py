"""The tutorials' scripts as they stand, timed: `python -m tests.benchmarks.scripts KIND FOLDER` trains one epoch."""

from __future__ import annotations

import json
import sys
import time
from functools import partial

from tests.tutorials import cifar10_convnet, mnist_mlp

FIT = {
    "mnist-mlp": (mnist_mlp.fit, 32),
    # The published script has its images loaded by two workers (PyTorch's tutorial "Training a classifier").
    "cifar10-convnet": (partial(cifar10_convnet.fit, workers=2), 4),
}
"""What trains, and its batch size."""


def epoch(kind: str, folder: str) -> dict[str, float]:
    """One epoch: its seconds, steps and examples."""
    fit, size = FIT[kind]
    began = time.perf_counter()
    _, steps = fit(folder, 0, epochs=1)
    # Every batch is full: the benchmarks take such numbers of images.
    return {"seconds": time.perf_counter() - began, "steps": steps, "examples": steps * size}


if __name__ == "__main__":
    print(json.dumps(epoch(sys.argv[1], sys.argv[2])))
