"""Folders of files that can be made again: how much room they take, and how it becomes free.

A file that somebody has mapped can be deleted all the same: it is gone when they let go of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

BUSY = 600.0
"""Seconds after which a file that is half there counts as left behind, where no lock tells."""
DECODING = ".u8.part"
"""How pictures end that a process decodes, which holds the file's lock meanwhile."""


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, as far as they can be looked at."""
    return sum(_stat(path).st_size for path in _files(folder))


def clear(folder: Path) -> int:
    """Delete every file below a folder but those being written; returns how many bytes that were."""
    before = size_of(folder)
    for path in _files(folder):
        if path.name.endswith(DECODING):
            _drop_unheld(path)
        elif not _being_written(path):
            path.unlink(missing_ok=True)
    return before - size_of(folder)


def drop_oldest(folder: Path, wanted: int) -> None:
    """Delete whole files of a folder, those not used for the longest time first, until `wanted` bytes are gone.

    Files of one name with different endings are one thing: used and deleted together.
    """
    together: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in _files(folder):
        if not _half(path):
            together[path.with_suffix("")].append(path)
    for files in sorted(together.values(), key=lambda files: max(_stat(path).st_mtime for path in files)):
        if wanted <= 0:
            return
        wanted -= sum(_stat(path).st_size for path in files)
        for path in files:
            path.unlink(missing_ok=True)


def used(path: Path) -> None:
    """Note that a file is used, and those of its name with it: they are not among the oldest any more."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _being_written(path: Path) -> bool:
    return _half(path) and time.time() - _stat(path).st_mtime < BUSY


def _drop_unheld(part: Path) -> None:
    """Delete what a process decoded into, and the facts beside it, unless one has it locked."""
    with contextlib.suppress(OSError), part.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.with_name(f"{part.name}.json").unlink(missing_ok=True)
        part.unlink()


def _half(path: Path) -> bool:
    return path.name.startswith(".") or path.name.endswith((".part", ".part.json"))


def _files(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where, name) for name in names)


def _stat(path: Path) -> os.stat_result:
    """What is known of a file; all zero for one that has gone meanwhile."""
    try:
        return path.lstat()
    except OSError:
        return os.stat_result((0,) * 10)
