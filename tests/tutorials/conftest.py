from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.core.settings_schema import Choice
from workbench.datasets.loader import load


def idx(values: np.ndarray) -> bytes:
    """The bytes of an idx file."""
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return head + values.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """scikit-learn's digits as MNIST: 28×28, in torchvision's layout; 1,438 and 359 of them."""
    data = load(Choice("digits"))
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, split in (("train", data.train), ("t10k", data.test)):
        images = [Image.fromarray(p[0].numpy()).resize((28, 28)) for p in split.inputs]
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(np.stack(images)))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(split.targets.numpy()))
    monkeypatch.setenv("WORKBENCH_DATA", str(raw.parents[1]))
    return raw.parents[1]


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """scikit-learn's digits, each in a color of its own, as CIFAR-10: 32×32, in its own layout."""
    data, generator = load(Choice("digits")), np.random.default_rng(0)
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    parts = {f"data_batch_{n + 1}": (data.train, slice(n * 300, n * 300 + 300)) for n in range(5)}
    for name, (split, some) in {**parts, "test_batch": (data.test, slice(None))}.items():
        grayscale = np.stack([Image.fromarray(p[0].numpy()).resize((32, 32)) for p in split.inputs[some]])
        colored = grayscale[:, None] * generator.uniform(0.5, 1, (len(grayscale), 3, 1, 1))
        images = colored.astype(np.uint8).reshape(-1, 3072)
        content = {"data": images, "labels": split.targets[some].tolist()}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    monkeypatch.setenv("WORKBENCH_DATA", str(folder.parent))
    return folder.parent


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The arithmetic is small: a second thread would only wait for the first. Nothing of it outlives a test."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")
