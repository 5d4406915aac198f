"""The complete lines that are appended to a log, which may be rotated meanwhile."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

CHUNK = 1 << 16


class LineFollower:
    """Reads a growing log from its start, or only its last `tail` bytes; a new file of that name is read too."""

    def __init__(self, path: Path, tail: int | None = None) -> None:
        self._path, self._tail = path, tail
        self._descriptor: int | None = None
        self._partial = b""

    def read(self) -> list[str]:
        """The lines that were completed since the last call; invalid UTF-8 is replaced."""
        lines = self._read_open_file()
        if self._is_replaced():
            lines += self._read_open_file()  # what came before the rotation
            self.close()
            lines += self._read_open_file()
        return lines

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _read_open_file(self) -> list[str]:
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return []
            self._skip_to_tail(self._descriptor)
        lines: list[bytes] = []
        while data := os.read(self._descriptor, CHUNK):
            *complete, self._partial = (self._partial + data).split(b"\n")
            lines += complete
        return [line.decode("utf-8", "replace") for line in lines]

    def _skip_to_tail(self, descriptor: int) -> None:
        if self._tail is not None and (skipped := os.fstat(descriptor).st_size - self._tail) > 0:
            os.lseek(descriptor, skipped, os.SEEK_SET)
            self._partial = b""
        self._tail = None

    def _is_replaced(self) -> bool:
        with contextlib.suppress(OSError):
            return (
                self._descriptor is not None and os.fstat(self._descriptor).st_ino != self._path.stat().st_ino
            )
        return False
