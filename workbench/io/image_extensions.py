"""Which files are images, judged by name: one rule for training, classification and path completion."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

IMAGE_EXTENSIONS = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".gif", ".bmp", ".dib", ".webp", ".avif", ".tif",
    ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".jp2", ".j2k", ".pcx", ".sgi", ".rgb", ".qoi",
)  # fmt: skip
"""File name extensions, in lower case, of the formats that `io.images` opens."""


def has_image_extension(name: str) -> bool:
    """Whether a file name has an image extension; hidden files do not count."""
    return name.lower().endswith(IMAGE_EXTENSIONS) and not name.startswith(".")


def iter_images(folder: Path) -> Iterator[Path]:
    """Image files below `folder`, judged by name, in no particular order; a generator, so the first come at once.

    Hidden folders, linked folders and unreadable folders are skipped.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from () if entry.name.startswith(".") else iter_images(Path(entry.path))
            elif has_image_extension(entry.name):
                yield Path(entry.path)
