"""Notices on what a model does not see of images in files, or sees otherwise, measured on some of the files."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from workbench.core.errors import UserError
from workbench.io.fit_mode import Fit
from workbench.io.image_fit import visible_fraction
from workbench.io.images import header_changes

_MEASURED_IMAGES = 64
_CROP_WORTH_SAYING = 0.7
"""Photographs of 4:3 lose a quarter, as in any introduction; a larger loss is reported."""


def pixel_notices(paths: Sequence[Path], mode: Literal["RGB", "L"], side: int, fit: Fit) -> tuple[str, ...]:
    """Notices on some of `paths` that become `side` × `side`; their headers are read only.

    They are drawn: evenly spaced ones may all be of one kind where kinds of files take turns.
    """
    changes: Counter[str] = Counter()
    sizes = []
    for path in random.Random(0).sample(paths, min(_MEASURED_IMAGES, len(paths))):
        try:
            size, found = header_changes(path, mode)
        except UserError:
            continue
        sizes.append(size)
        changes.update(found)
    said = [f"{count:,} of {len(sizes):,} images checked: {text}" for text, count in changes.most_common()]
    return (*_crop_notice(sizes, side, fit), *said)


def _crop_notice(sizes: Sequence[tuple[int, int]], side: int, fit: Fit) -> tuple[str, ...]:
    if not sizes:
        return ()
    fractions = [visible_fraction(size, side, side, fit) for size in sizes]
    mean, (least, size) = sum(fractions) / len(fractions), min(zip(fractions, sizes, strict=True))
    if mean >= _CROP_WORTH_SAYING and least >= _CROP_WORTH_SAYING / 2:
        return ()
    return (
        f"images are cropped to their center square: {100 * mean:.0f} % of an image is seen on average, "
        f"{100 * least:.0f} % of a {size[0]}×{size[1]} image; data.fit=pad or stretch shows all of it",
    )
