"""Appending records as lines of JSON, and reading short files of them whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from workbench.io.atomic_files import sync_folder
from workbench.io.record_codec import decode, encode

T = TypeVar("T")


class LineWriter:
    """Appends records to a file, each with one `write()`, so that readers never see half of two."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.offset = os.fstat(self._descriptor).st_size
        """Bytes written so far: where the next line begins."""
        self._torn = _ends_torn(self._descriptor)
        self.keep_trying: Callable[[Callable[[], None]], None] = _once
        """Calls what it is given; may do so again where the disk has no room."""

    def write(self, record: msgspec.Struct) -> None:
        """Append one line. After a write that the disk cut short, the next line starts on a row of its own."""
        self.keep_trying(partial(self._append, record))

    def _append(self, record: msgspec.Struct) -> None:
        data = (b"\n" if self._torn else b"") + encode(record) + b"\n"
        written = os.write(self._descriptor, data)
        self.offset += written
        self._torn = written < len(data)
        if self._torn:
            raise OSError(28, "No space left on device")

    def check_end(self) -> None:
        """Look whether the last line is whole: another writer may have been killed within its own."""
        self._torn = _ends_torn(self._descriptor)

    def sync(self) -> None:
        """Return when all that was written is on the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _ends_torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _once(work: Callable[[], None]) -> None:
    work()


def keep_until(path: Path, offset: int) -> int:
    """Put a copy of the first `offset` bytes in the place of `path` (a new inode, which readers notice).

    Returns how many there were, which can be less.
    """
    temporary = path.with_name(path.name + ".kept")
    with path.open("rb") as old, temporary.open("wb") as new:
        left = offset
        while left > 0 and (chunk := old.read(min(left, 1 << 20))):
            new.write(chunk)
            left -= len(chunk)
        new.flush()
        os.fsync(new.fileno())
    temporary.chmod(0o600)
    temporary.replace(path)
    sync_folder(path.parent)
    return offset - left


def read_lines(path: Path, type: Any) -> list[Any]:
    """All records of a short file, lines that hold none left out."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return []
    return [record for line in lines if line and (record := decode(line, type)) is not None]
