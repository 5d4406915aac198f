"""How much space files take on disk, as far as that is quickly known."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

SECONDS = 0.2
MOST_FILES = 20_000


def size_of(places: Iterable[Path], seconds: float = SECONDS, most: int = MOST_FILES) -> int | None:
    """Bytes of some files, and of all files below some folders; `None` where the sum is not quickly known.

    Given up after `seconds` or `most` files, or where something can't be read. Links below a folder are not
    followed.
    """
    end = time.monotonic() + seconds
    total = 0
    try:
        for count, size in enumerate(_sizes(places), 1):
            if count > most or time.monotonic() > end:
                return None
            total += size
    except OSError:
        return None
    return total


def _sizes(places: Iterable[Path]) -> Iterator[int]:
    """The size of each file; 0 for each folder, so that empty ones take their part of the time."""
    for place in places:
        facts = place.stat()
        if stat.S_ISDIR(facts.st_mode):
            yield from _below(place)
        elif stat.S_ISREG(facts.st_mode):
            yield facts.st_size


def _below(top: Path) -> Iterator[int]:
    folders = [os.fspath(top)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    yield 0
                elif entry.is_file(follow_symlinks=False):
                    yield entry.stat(follow_symlinks=False).st_size
