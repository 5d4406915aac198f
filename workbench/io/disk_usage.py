"""How many bytes files take on disk: counted in full, or only as far as that is quick."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

TIME_LIMIT = 0.2
MAX_FILES = 20_000


def disk_usage(folder: Path) -> int:
    """Bytes of all files below a folder; files that can't be examined count 0, links their own size."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(parent, name).lstat().st_size
    return total


def quick_disk_usage(
    paths: Iterable[Path], seconds: float = TIME_LIMIT, max_files: int = MAX_FILES
) -> int | None:
    """Bytes of some files, and of all files below some folders; `None` if counting takes too long.

    Stops after `seconds` or `max_files` files, or at the first one that can't be read. Links below a folder are not
    followed.
    """
    deadline = time.monotonic() + seconds
    total = 0
    try:
        for count, size in enumerate(_file_sizes(paths), 1):
            if count > max_files or time.monotonic() > deadline:
                return None
            total += size
    except OSError:
        return None
    return total


def _file_sizes(paths: Iterable[Path]) -> Iterator[int]:
    """The size of each file; 0 for each folder, so that the limits also apply to empty folders."""
    for path in paths:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            yield from _file_sizes_below(path)
        elif stat.S_ISREG(status.st_mode):
            yield status.st_size


def _file_sizes_below(top: Path) -> Iterator[int]:
    folders = [os.fspath(top)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    yield 0
                elif entry.is_file(follow_symlinks=False):
                    yield entry.stat(follow_symlinks=False).st_size
