"""Who holds a run: POSIX record locks on single bytes of its `lock` file.

They end with the process that holds them, however it ends, and are not inherited by children (a `flock` would
be). One trap comes with them: a process loses its locks when it closes *any* descriptor of the file. So a
holder opens it once and never again, and asks by the descriptor that it has.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import sys
from pathlib import Path

SUPERVISOR, WRITER = 0, 1
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}

# struct flock as the C library lays it out: (format, index of the type, index of the pid).
_FLOCK = ("qqihh", 3, 2) if sys.platform == "darwin" else ("hhqqi", 0, 4)


_ours: dict[tuple[int, int], RunLock] = {}
"""The locks that this process has opened, by device and inode of their files."""


def _file(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class RunLock:
    """The bytes of one run's lock that this process holds."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.taken: set[int] = set()
        _ours[_file(os.fstat(self.descriptor))] = self

    def take(self, byte: int) -> bool:
        """Whether `byte` could be locked; it is kept until this process ends.

        A file system without locks says yes to everybody: there the heartbeat tells who is at work.
        """
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        self.taken.add(byte)
        return True

    def give_back(self, byte: int) -> None:
        """Let go of `byte`; the others are kept."""
        self.taken.discard(byte)
        with contextlib.suppress(OSError):  # there are no locks here, and nothing to let go of
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, byte)


def holder_of(path: Path, byte: int) -> int | None:
    """The pid of the process that holds `byte`, or `None`; 0 where it lives on another host.

    Raises `OSError` where the file system has no locks.
    """
    try:
        lock = _ours.get(_file(path.stat()))
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if lock is None else lock.descriptor
    except FileNotFoundError:
        return None
    if lock is not None and byte in lock.taken:
        return os.getpid()
    layout, type_at, pid_at = _FLOCK
    fields = [0] * len(layout)
    fields[type_at] = fcntl.F_WRLCK
    start_at = 0 if sys.platform == "darwin" else 2
    fields[start_at], fields[start_at + 1] = byte, 1
    try:
        answer = struct.unpack(layout, fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(layout, *fields)))
    finally:
        if lock is None:
            os.close(descriptor)
    return None if answer[type_at] == fcntl.F_UNLCK else max(0, answer[pid_at])
