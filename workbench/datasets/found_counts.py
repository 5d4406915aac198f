"""The numbers of samples in files on disk, from their sizes and headers: without torch, in a few milliseconds.

People have parts of published datasets in the published layout; what is found is what a run trains on.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

IDX_IMAGES, STL10_IMAGES, CIFAR_BATCH = "images-idx3", "_X.bin", "_batch"
STL10_BYTES = 3 * 96 * 96
"""Bytes of an image of STL10: its files have nothing else."""
CIFAR_BYTES = 31_035_704 / 10_000
"""Bytes of an image of CIFAR-10 in a pickle, with its label and file name."""


def count_found(files: Sequence[Path]) -> tuple[int, int] | None:
    """Training and test samples in the files of a dataset; `None` for files that do not tell.

    `files` are those of `DatasetInfo.files`, the training images before the test images. CIFAR-10 is counted by
    file sizes, which is exact only for the published files.
    """
    images = [
        file for file in files if any(part in file.name for part in (IDX_IMAGES, STL10_IMAGES, CIFAR_BATCH))
    ]
    if len(images) != 2:
        return None
    train, test = ([file] for file in images)
    if CIFAR_BATCH in images[0].name:
        train = sorted(images[0].parent.glob("data_batch_[1-5]"))
    counts = [_total(train), _total(test)]
    return None if None in counts else (counts[0] or 0, counts[1] or 0)


def _total(files: Sequence[Path]) -> int | None:
    """The samples in all files; `None` if one can't be read."""
    total = 0
    for file in files:
        try:
            status = file.stat()
            total += _count(file, status.st_mtime_ns, status.st_size)
        except (OSError, EOFError, zlib.error, struct.error):
            return None
    return total


@lru_cache(64)
def _count(file: Path, _modified: int, size: int) -> int:
    if STL10_IMAGES in file.name:
        return size // STL10_BYTES
    if CIFAR_BATCH in file.name:
        return round(size / CIFAR_BYTES)
    with file.open("rb") as raw, gzip.open(raw) if file.suffix == ".gz" else raw as stream:
        header: tuple[int, int] = struct.unpack(">II", stream.read(8))  # magic number, samples
    return header[1]
