"""Cache folders, whose files can be recreated: clearing them and evicting the least recently used files.

A file that a process has memory-mapped can be deleted safely: its space is freed when the process unmaps it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from workbench.io.disk_usage import disk_usage

STALE_SECONDS = 600.0
"""Age at which a partial file without a lock counts as abandoned."""
DECODING_SUFFIX = ".u8.part"
"""Suffix of files that images are being decoded into; the decoding process holds a lock on the file."""


def clear(folder: Path) -> int:
    """Delete every file below a folder except those being written; returns the number of bytes freed."""
    before = disk_usage(folder)
    for path in _files(folder):
        if path.name.endswith(DECODING_SUFFIX):
            _delete_if_unlocked(path)
        elif not _being_written(path):
            path.unlink(missing_ok=True)
    return before - disk_usage(folder)


def evict_least_recent(folder: Path, bytes_to_free: int) -> None:
    """Delete complete files of a folder, least recently used first, until `bytes_to_free` bytes are freed.

    Files that differ in their suffix only belong together: they are used and deleted together.
    """
    groups: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in _files(folder):
        if not _is_partial(path):
            groups[path.with_suffix("")].append(path)
    for files in sorted(groups.values(), key=lambda files: max(_stat(path).st_mtime for path in files)):
        if bytes_to_free <= 0:
            return
        bytes_to_free -= sum(_stat(path).st_size for path in files)
        for path in files:
            path.unlink(missing_ok=True)


def touch(path: Path) -> None:
    """Mark a file (and those that belong to it) as recently used."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _being_written(path: Path) -> bool:
    return _is_partial(path) and time.time() - _stat(path).st_mtime < STALE_SECONDS


def _delete_if_unlocked(part: Path) -> None:
    """Delete a partially decoded file and its progress record, unless a process has it locked."""
    with contextlib.suppress(OSError), part.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.with_name(f"{part.name}.json").unlink(missing_ok=True)
        part.unlink()


def _is_partial(path: Path) -> bool:
    return path.name.startswith(".") or path.name.endswith((".part", ".part.json"))


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _stat(path: Path) -> os.stat_result:
    """The status of a file; all zero if it has disappeared meanwhile."""
    try:
        return path.lstat()
    except OSError:
        return os.stat_result((0,) * 10)
