"""JSON lines: appending records, and reading short files at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from workbench.io.atomic_files import sync_folder
from workbench.io.file_tail import read_tail
from workbench.io.record_codec import decode, encode
from workbench.io.regular_files import read_regular_file

T = TypeVar("T")


class LineWriter:
    """Appends records to a file, each with a single `write()`, so that lines of several writers never interleave."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.offset = os.fstat(self._descriptor).st_size
        """Bytes written so far: the offset of the next line."""
        self._torn = _ends_torn(self._descriptor)
        self.retry: Callable[[Callable[[], None]], None] = _once
        """Calls its argument; may call it again after the disk was full."""

    def write(self, *records: msgspec.Struct) -> None:
        """Append a line for each record. After a partial write on a full disk, the next one starts on a new line."""
        self.retry(partial(self._append, b"".join(encode(record) + b"\n" for record in records)))

    def _append(self, lines: bytes) -> None:
        data = (b"\n" if self._torn else b"") + lines
        written = os.write(self._descriptor, data)
        self.offset += written
        self._torn = written < len(data)
        if self._torn:
            raise OSError(28, "No space left on device")

    def check_last_line(self) -> None:
        """Check whether the last line is complete: another writer may have been killed within its own."""
        self._torn = _ends_torn(self._descriptor)

    def sync(self) -> None:
        """Sync all written lines to disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _ends_torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _once(work: Callable[[], None]) -> None:
    work()


def replace_with_prefix(path: Path, offset: int) -> int:
    """Replace `path` with a copy of its first `offset` bytes; readers notice the new inode.

    Returns the length of the copy in bytes, which is less for a shorter file.
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


def decode_lines(lines: Iterable[bytes], type: Any) -> list[Any]:
    """The records of lines; damaged and empty lines are left out."""
    return [record for line in lines if line and (record := decode(line, type)) is not None]


def read_lines(path: Path, type: Any) -> list[Any]:
    """All records of a short file; damaged lines are left out."""
    try:
        lines = read_regular_file(path).split(b"\n")
    except OSError:
        return []
    return decode_lines(lines, type)


def read_last_lines(path: Path, type: Any, size: int = 1 << 16) -> list[Any]:
    """The records in the last `size` bytes of a file of any length, oldest first; damaged lines are left out."""
    try:
        lines = read_tail(path, size)[0].split(b"\n")
    except OSError:
        return []
    return decode_lines(lines, type)
