"""The sizes of images in files, measured on some of them by their headers. Imports no torch."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from workbench.core.errors import UserError
from workbench.core.text import format_shape
from workbench.io.fit_mode import CenterCrop, squareness

MEASURED_IMAGES = 64
"""The sizes are measured on so many evenly spaced images."""
_UNKNOWN_SIDE = 32
_MAX_SIDE = 128
"""The side of images for models that name no input size."""


LARGE_INPUT = 96
"""Networks with inputs of so many pixels and more train on crops of larger images."""
_STORE_FACTOR = 1.15


class ImageSizes(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of some images of a dataset, width first."""

    smallest: tuple[int, int]
    """By the shorter side, then by the longer one."""
    largest: tuple[int, int]
    median_side: int
    """The median of the shorter sides."""
    longest: tuple[int, int] = (1, 1)
    """The one that is farthest from a square."""
    squareness: float = 1.0
    """The mean of shorter by longer side."""

    def describe(self) -> str:
        """`32×32`, or `64×48 to 640×480`."""
        ends = [format_shape(size) for size in (self.smallest, self.largest)]
        return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def measure_sizes(root: Path, paths: Sequence[str]) -> ImageSizes | None:
    """The sizes of some of the images `paths` below `root`; `None` if none can be read."""
    from workbench.io.images import image_size  # noqa: PLC0415 - the launcher starts without Pillow

    sizes = []
    for path in paths[:: max(1, len(paths) // MEASURED_IMAGES)]:
        try:
            sizes.append(image_size(root / path))
        except UserError:
            continue
    if not sizes:
        return None
    ordered = sorted(sizes, key=lambda size: (min(size), max(size)))
    return ImageSizes(
        smallest=ordered[0],
        largest=ordered[-1],
        median_side=int(statistics.median(min(size) for size in sizes)),
        longest=min(sizes, key=lambda size: min(size) / max(size)),
        squareness=squareness(sizes),
    )


def automatic_side(sizes: ImageSizes | None, model_size: int | None) -> int:
    """The side of the squares that images become without a `size` option: that of the model, but none is enlarged.

    `model_size`: the input size of the model, `None` if it takes any.
    """
    native = sizes.median_side if sizes else _UNKNOWN_SIDE
    return max(1, min(native, model_size or _MAX_SIDE))


class StoredSides(NamedTuple):
    """The sides of the squares that images are stored as."""

    side: int
    """Of images that are evaluated, and of the model's inputs."""
    store: int | None
    """Of training images; `None`: as those that are evaluated."""
    crop: CenterCrop | None
    """How images are evaluated; `None`: by their center square."""

    @property
    def training(self) -> int:
        """Of training images."""
        return self.store or self.side


def stored_sides(
    sizes: ImageSizes | None,
    model_size: int | None,
    crop: CenterCrop | None = None,
    *,
    size: str | int = "auto",
    store: str | int = "auto",
) -> StoredSides:
    """The sides for a model with inputs of `model_size`, evaluated by `crop`; `size`, `store`: those options.

    From `LARGE_INPUT` pixels on, training images are stored larger than inputs, but not larger than they are.
    """
    if isinstance(size, int):
        side = size
    else:
        side = crop.side if crop is not None and crop.enlarges else automatic_side(sizes, model_size)
    if isinstance(store, int):
        return StoredSides(side, store, None if crop is None else crop.scaled(side))
    if crop is None or side < LARGE_INPUT:
        return StoredSides(side, None, None)
    native = sizes.median_side if sizes else side
    return StoredSides(side, max(1, min(native, round(_STORE_FACTOR * side))), crop.scaled(side))
