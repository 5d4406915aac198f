"""Which files are images, by their names: one rule for training, classification and the file completion."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

ENDINGS = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".gif", ".bmp", ".dib", ".webp", ".avif", ".tif",
    ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".jp2", ".j2k", ".pcx", ".sgi", ".rgb", ".qoi",
)  # fmt: skip
"""In lower case: those of the formats that `io.pictures` opens."""


def is_picture(name: str) -> bool:
    """Whether a file is an image by its name; hidden ones are not."""
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def images_below(folder: Path) -> Iterator[Path]:
    """Image files below `folder`, by their names, in no order and one at a time: the first are there at once.

    Hidden folders, linked folders and folders that can't be read are skipped.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from () if entry.name.startswith(".") else images_below(Path(entry.path))
            elif is_picture(entry.name):
                yield Path(entry.path)
