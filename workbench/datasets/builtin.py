"""Datasets that need no network: handwritten digits, colored shapes, a noisy line, two clusters of points."""

from __future__ import annotations

import gzip
import importlib.util
import math
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from workbench.core.errors import UserError
from workbench.core.progress import Cancelled, Progress
from workbench.datasets.dataset import Dataset, Split
from workbench.datasets.drawing import derived_seed
from workbench.datasets.load_request import LoadRequest

Points = list[tuple[float, float]]


def digits(request: LoadRequest) -> Dataset:
    """scikit-learn's 1,797 handwritten digits, uint8 [N, 1, 8, 8] (17 gray levels scaled to 0..255)."""
    rows = _digit_rows()
    images = torch.from_numpy(np.rint(rows[:, :64] * (255 / 16)).astype(np.uint8)).reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(rows[:, 64].astype(np.int64))
    train, test = request.draw_test(labels.tolist(), "digits test")
    whole = Split(images, labels)
    return Dataset("classification", tuple("0123456789"), whole.take(train), None, whole.take(test),
                source="scikit-learn")  # fmt: skip


def _digit_rows() -> np.ndarray:
    """float64 [1797, 65]: gray levels 0 to 16 and the label, from the file in scikit-learn's package.

    The package is located but not imported, as that takes two seconds. Raises `UserError`.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise UserError("digits is part of scikit-learn, which is not installed: pip install scikit-learn")
    path = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            return np.loadtxt(file, delimiter=",")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path} can't be read ({error}); reinstall scikit-learn") from None


def line(request: LoadRequest) -> Dataset:
    """Points on y = slope·x with Gaussian noise, x evenly spaced in 0..1: inputs and targets float32 [N, 1]."""
    options = request.options
    generator = np.random.default_rng(derived_seed(options.seed, "line"))
    x = np.arange(options.points) / options.points
    y = options.slope * x + generator.normal(0, options.noise, options.points)
    whole = Split(_column(x), _column(y))
    train, test = request.draw_test([0] * options.points, "line test")
    return Dataset(
        "regression", (), whole.take(train), None, whole.take(test), source="generated from its seed"
    )


def clusters(request: LoadRequest) -> Dataset:
    """Points scattered around (0.2, 0.2) and (0.8, 0.8): inputs float32 [N, 2], half of them in each class."""
    options = request.options
    generator = np.random.default_rng(derived_seed(options.seed, "clusters"))
    labels = np.arange(options.points) % 2
    points = generator.normal(0, options.deviation, (options.points, 2)) + np.where(labels, 0.8, 0.2)[:, None]
    whole = Split(torch.from_numpy(points.astype(np.float32)), torch.from_numpy(labels.astype(np.int64)))
    train, test = request.draw_test(labels.tolist(), "clusters test")
    return Dataset("classification", ("around 0.2", "around 0.8"), whole.take(train), None, whole.take(test),
                source="generated from its seed")  # fmt: skip


def _column(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32)).unsqueeze(1)


def shapes(request: LoadRequest) -> Dataset:
    """Colored shapes on colored, noisy backgrounds, uint8 [N, 3, S, S]; classes balanced as far as possible."""
    options, seed = request.options, request.options.seed
    total = options.train + options.test
    if total * 3 * options.size**2 > _MAX_SHAPES_BYTES:
        raise UserError(
            f"{total:,} shapes of {options.size}×{options.size} take {total * 3 * options.size**2 / 1e9:,.0f} GB, more "
            f"than the limit of {_MAX_SHAPES_BYTES / 1e9:.0f} GB; lower data.train, data.test or data.size"
        )
    count = 0

    def count_image() -> None:
        nonlocal count
        count += 1
        if count % 250 == 0 or count == total:
            request.progress(Progress("drawing shapes", count, total, "images"))
            if request.cancelled():
                raise Cancelled

    train = _draw_split(options.train, options.size, derived_seed(seed, "shapes", "train"), count_image)
    test = _draw_split(options.test, options.size, derived_seed(seed, "shapes", "test"), count_image)
    return Dataset("classification", tuple(SHAPES), train, None, test, source="generated from its seed")


_MAX_SHAPES_BYTES = 16_000_000_000
_SUPERSAMPLING = 3
"""Shapes are drawn this many times larger and scaled down, for smooth edges."""


def _draw_split(count: int, size: int, seed: int, count_image: Callable[[], None]) -> Split:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(count) % len(SHAPES))
    images = np.empty((count, 3, size, size), np.uint8)
    outlines = list(SHAPES.values())
    for index, label in enumerate(labels):
        images[index] = _draw(outlines[label], size, generator)
        count_image()
    return Split(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))


def _draw(outline: Callable[[], list[Points]], size: int, generator: np.random.Generator) -> np.ndarray:
    """One image, uint8 [3, size, size]: position, scale, rotation, both colors and the noise are random."""
    x, y, radius, turn, strength = generator.random(5)
    radius = (0.24 + 0.2 * radius) * size
    middle_x, middle_y = (radius + (size - 2 * radius) * place for place in (x, y))
    angle = (turn - 0.5) * math.pi / 3  # at most 30° to either side: more would turn a square into a diamond
    mask = Image.new("L", (size * _SUPERSAMPLING, size * _SUPERSAMPLING))
    pen = ImageDraw.Draw(mask)
    cos, sin = math.cos(angle) * radius * _SUPERSAMPLING, math.sin(angle) * radius * _SUPERSAMPLING
    for fill, points in zip((255, 0), outline(), strict=False):
        pen.polygon(
            [
                (middle_x * _SUPERSAMPLING + cos * a - sin * b, middle_y * _SUPERSAMPLING + sin * a + cos * b)
                for a, b in points
            ],
            fill=fill,
        )
    cover = np.asarray(mask.resize((size, size), Image.Resampling.BOX), np.float32) / 255
    paint, ground = _two_colors(generator)
    flat = ground[:, None, None] + cover * (paint - ground)[:, None, None]
    noise = generator.standard_normal((3, size, size), np.float32) * (4 + 20 * strength)
    pixels: np.ndarray = np.clip(flat + noise, 0, 255).astype(np.uint8)
    return pixels


def _two_colors(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two random RGB colors with sufficient contrast."""
    while True:
        first, second = generator.integers(0, 256, (2, 3)).astype(np.float32)
        if np.abs(first - second).sum() > 180:
            return first, second


def _regular(corners: int, start: float = -math.pi / 2) -> Points:
    angles = [start + 2 * math.pi * i / corners for i in range(corners)]
    return [(math.cos(a), math.sin(a)) for a in angles]


def _star() -> Points:
    return [
        (math.cos(a) * r, math.sin(a) * r)
        for a, r in ((-math.pi / 2 + math.pi * i / 5, (1, 0.4)[i % 2]) for i in range(10))
    ]


def _cross() -> Points:
    w = 0.3
    return [
        (-w, -1),
        (w, -1),
        (w, -w),
        (1, -w),
        (1, w),
        (w, w),
        (w, 1),
        (-w, 1),
        (-w, w),
        (-1, w),
        (-1, -w),
        (-w, -w),
    ]


def _crescent() -> list[Points]:
    return [_regular(24), [(a * 0.8 + 0.42, b * 0.8) for a, b in _regular(24)]]


def _arrow() -> Points:
    return [
        (0, -1),
        (0.85, -0.05),
        (0.32, -0.05),
        (0.32, 0.95),
        (-0.32, 0.95),
        (-0.32, -0.05),
        (-0.85, -0.05),
    ]


SHAPES: dict[str, Callable[[], list[Points]]] = {
    "circle": lambda: [_regular(24)],
    "square": lambda: [[(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]],
    "triangle": lambda: [_regular(3)],
    "diamond": lambda: [[(0, -1), (0.65, 0), (0, 1), (-0.65, 0)]],
    "star": lambda: [_star()],
    "cross": lambda: [_cross()],
    "ring": lambda: [_regular(24), [(a * 0.55, b * 0.55) for a, b in _regular(24)]],
    "crescent": _crescent,
    "arrow": lambda: [_arrow()],
    "bar": lambda: [[(-1, -0.3), (1, -0.3), (1, 0.3), (-1, 0.3)]],
}
"""The outline of each class: a polygon within the unit circle, and optionally one that is cut out of it."""
