"""Notices on what a model does not see of images in files, or sees otherwise, measured on some of the files."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from workbench.core.errors import UserError
from workbench.datasets.image_fitting import Fittings
from workbench.io.fit_mode import describe_crops, squareness
from workbench.io.images import header_changes

_MEASURED_IMAGES = 64


def pixel_notices(paths: Sequence[Path], fittings: Fittings) -> tuple[str, ...]:
    """Notices on some of `paths` that are stored so; their headers are read only.

    They are drawn: evenly spaced ones may all be of one kind where kinds of files take turns.
    """
    changes: Counter[str] = Counter()
    sizes, fitting = [], fittings.evaluation
    for path in random.Random(0).sample(paths, min(_MEASURED_IMAGES, len(paths))):
        try:
            size, found = header_changes(path, fitting.mode)
        except UserError:
            continue
        sizes.append(size)
        changes.update(found)
    said = [f"{count:,} of {len(sizes):,} images checked: {text}" for text, count in changes.most_common()]
    if not sizes:
        return ()
    longest = min(sizes, key=lambda size: min(size) / max(size))
    crops = describe_crops(
        squareness(sizes), longest, fitting.fit, fitting.crop, is_stored_whole=fittings.keeps_shape
    )
    return (*crops, *said)
