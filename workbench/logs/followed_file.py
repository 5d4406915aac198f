"""Reading a file that other processes append to, truncate or rewrite."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

HEAD_BYTES = 1024
TAIL_BYTES = 256

FileState = tuple[int, int, int]
"""Inode, size and time of modification."""


class FileReplaced(Exception):
    """The bytes read before are no longer those of the file."""


class FollowedFile:
    """What was appended to a file since it was last read.

    The file is opened for every read: thousands of logs are followed without holding a descriptor each. The first
    bytes and the last ones read are compared each time, so a copy of a longer file that is renamed onto this one (as
    rsync does) counts as growth, and a rewritten file of any size does not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.size = 0
        self._head = self._tail = b""
        self._complete: FileState | None = None

    def chunks(self, size: int) -> Iterator[bytes]:
        """What is unread, `size` bytes at a time, as far as the caller advances.

        A caller that does not advance gets more bytes from the same offset, until the end of the file. Raises
        `OSError`, and `FileReplaced` (the offset is 0 then).
        """
        state = self._stat()
        if state == self._complete:
            return
        wanted = size
        while data := self.read(wanted):
            before = self.offset
            yield data
            if self.offset > before:
                wanted = size
            elif before + len(data) < self.size:
                wanted *= 2
            else:
                break
        self._complete = state

    def read(self, size: int) -> bytes:
        """Up to `size` bytes from the offset, which stays. Raises `OSError`, and `FileReplaced` (offset 0 then)."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(self.path))
            self.size = status.st_size
            data = os.pread(descriptor, len(self._tail) + size, self.offset - len(self._tail))
            head = os.pread(descriptor, len(self._head), 0)
        finally:
            os.close(descriptor)
        if self.size < self.offset or head != self._head or not data.startswith(self._tail):
            self.rewind()
            raise FileReplaced
        return data[len(self._tail) :]

    def advance(self, data: bytes, count: int) -> None:
        """Move the offset behind the first `count` bytes of `data`, the result of the last read."""
        if len(self._head) == self.offset < HEAD_BYTES:
            self._head += data[: min(count, HEAD_BYTES - self.offset)]
        self._tail = (self._tail + data[max(0, count - TAIL_BYTES) : count])[-TAIL_BYTES:]
        self.offset += count

    def rewind(self) -> None:
        """Start at the first byte again."""
        self.offset = 0
        self._head = self._tail = b""
        self._complete = None

    def _stat(self) -> FileState:
        status = self.path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns
