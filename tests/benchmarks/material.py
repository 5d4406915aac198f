"""What the benchmarks work on: found where it can be found, else generated so that something can be learned from it."""

from __future__ import annotations

import gzip
import json
import pickle
import struct
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
MNIST_FILES = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)
CLASSES = 10
RUN_FILES = ("experiment.json", "setup.json", "metrics.jsonl", "journal.jsonl", "heartbeat.json", "exit.json")
"""What the list of runs and a screen that shows one look at."""


def grayscale(folder: Path, train: int = 60_000, test: int = 10_000) -> str:
    """`folder/MNIST/raw` in torchvision's layout with `train` and `test` 28×28 images; returns their description.

    Debian's Fashion-MNIST where it is installed, else generated ones.
    """
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, count in zip(MNIST_FILES, (train, train, test, test), strict=True):
        raw.joinpath(name).write_bytes(_found(name, count) or _idx(_generated(name, count)))
    return "Fashion-MNIST" if DEBIAN.exists() else "generated images"


def _found(name: str, count: int) -> bytes | None:
    """The first `count` records of a file of Debian's."""
    packed = DEBIAN / f"{name}.gz"
    if not packed.exists():
        return None
    data = gzip.decompress(packed.read_bytes())
    head = 4 + 4 * data[3]
    sides = struct.unpack(f">{data[3]}I", data[4:head])
    record = int(np.prod(sides[1:], dtype=int))
    return data[:4] + struct.pack(f">{data[3]}I", count, *sides[1:]) + data[head : head + count * record]


def _idx(values: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def _generated(name: str, count: int) -> np.ndarray:
    images, labels = patterns(count, (1, 28, 28), seed=int(name.startswith("t10k")))
    return images[:, 0] if "images" in name else labels.astype(np.uint8)


def patterns(count: int, shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [count, C, H, W] and int64 [count]: a faint pattern a class under noise; one label in ten is any."""
    channels, height, width = shape
    rough = np.random.default_rng(0).uniform(0, 255, (CLASSES, channels, 6, 6)).astype(np.uint8)
    smooth = np.stack(
        [[Image.fromarray(c).resize((width, height), Image.Resampling.BICUBIC) for c in one] for one in rough]
    )
    generator = np.random.default_rng(seed + 1)
    labels = generator.integers(0, CLASSES, count)
    noisy = smooth[labels].astype(np.int16) // 4 + generator.integers(0, 192, (count, *shape), dtype=np.int16)
    wrong = generator.random(count) < 0.1
    labels[wrong] = generator.integers(0, CLASSES, int(wrong.sum()))
    return noisy.astype(np.uint8), labels


def color(folder: Path, train: int = 10_000, test: int = 1_000) -> str:
    """`folder/cifar-10-batches-py` with generated 32×32 images in color; returns their description."""
    batches = folder / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    for number in range(5):
        _cifar(batches / f"data_batch_{number + 1}", train // 5, number)
    _cifar(batches / "test_batch", test, 5)
    return "generated images"


def _cifar(path: Path, count: int, seed: int) -> None:
    images, labels = patterns(count, (3, 32, 32), seed)
    path.write_bytes(pickle.dumps({"data": images.reshape(count, -1), "labels": labels.tolist()}, protocol=2))


def photographs(folder: Path, count: int, *, size: tuple[int, int] = (500, 375), test: int = 0) -> None:
    """JPEGs of `size` below `folder/train/CLASS/` (and `folder/test/`), made by all cores."""
    wanted = [(folder / "train", n) for n in range(count)] + [(folder / "test", n) for n in range(test)]
    for place, number in wanted[:CLASSES] + wanted[count : count + CLASSES]:
        (place / f"class{number % CLASSES}").mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(_photograph, wanted, [size] * len(wanted), chunksize=64))


def _photograph(wanted: tuple[Path, int], size: tuple[int, int]) -> None:
    """Something with the structure of a photograph: broad shapes, edges, fine grain; about 100 kB at 500×375."""
    place, number = wanted
    generator = np.random.default_rng([number, len(place.name)])
    kind = number % CLASSES
    broad = generator.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(broad).resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    y, x = np.ogrid[: size[1], : size[0]]
    stripes = ((x * (kind + 1) + y * (CLASSES - kind)) // 40 % 2 * 40)[..., None]
    grain = generator.normal(0, 12, image.shape[:2])[..., None]
    out = (image + stripes + grain).clip(0, 255).astype(np.uint8)
    Image.fromarray(out).save(place / f"class{kind}" / f"{number:05d}.jpg", quality=88)


def many_runs(model: Path, runs: Path, count: int) -> None:
    """`count` ended runs like the one in the folder `model`, their records linked, not copied."""
    runs.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        folder = runs / f"20260101-{number:012d}-old-{number % 65536:04x}"
        folder.mkdir(mode=0o700)
        for name in RUN_FILES:
            (folder / name).hardlink_to(model / name)


def long_metrics(path: Path, rows: int) -> None:
    """`metrics.jsonl` with `rows` step rows: a falling loss and a rising accuracy."""
    now = time.time()
    with path.open("w", encoding="utf-8") as file:
        for step in range(1, rows + 1):
            print(json.dumps(_row(step, rows, now), separators=(",", ":")), file=file)


def _row(step: int, rows: int, now: float) -> dict[str, Any]:
    loss = 2.3 / (1 + 9 * step / rows) + 0.1 * ((step * 7919) % 101) / 101
    return {
        "v": 1, "kind": "step", "step": step, "epoch": round(step / rows * 10, 6), "count": 1, "loss": loss,
        "accuracy": 1 - loss / 3, "lr": 0.001,
        "wall": {"time": now + step / 100, "seconds": 0.01, "samples_per_second": 3200.0},
    }  # fmt: skip
