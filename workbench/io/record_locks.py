"""POSIX record locks on single bytes of a file.

They are released when the holder ends, in whatever way, and are not inherited by children (a `flock` would be). A
process loses its locks when it closes *any* descriptor of the file, so a holder opens the file once and uses that
descriptor for queries too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

MUTEX_SECONDS, POLL_SECONDS = 2.0, 0.005
"""A mutex is held for milliseconds: a process that holds it for longer is suspended, and nobody waits for it."""

UNSUPPORTED_ERRNOS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}

# Layout of the C library's `struct flock`: (format, index of the type, index of the pid).
_FLOCK = ("qqihh", 3, 2) if sys.platform == "darwin" else ("hhqqi", 0, 4)


_open_locks: dict[tuple[int, int], RecordLock] = {}
"""The lock files that this process has opened, by device and inode."""


def _file_key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


class RecordLock:
    """A lock file, and the bytes of it that this process holds."""

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        self.descriptor = _open_for_locks(path, mode)
        self.held: set[int] = set()
        _open_locks[_file_key(os.fstat(self.descriptor))] = self

    def acquire(self, byte: int) -> bool:
        """Lock `byte` until `release` or the end of this process; false where another process holds it.

        On a file system without locks this always succeeds.
        """
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            if error.errno not in UNSUPPORTED_ERRNOS:
                raise
        self.held.add(byte)
        return True

    def release(self, byte: int) -> None:
        """Unlock `byte`."""
        self.held.discard(byte)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, byte)


def holder_pid(path: Path, byte: int) -> int | None:
    """The pid of the process that holds `byte` (0: on another host); `None` if it is free.

    Raises `OSError` on a file system without locks.
    """
    try:
        lock = _open_locks.get(_file_key(path.stat()))
        descriptor = (
            os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if lock is None else lock.descriptor
        )
    except FileNotFoundError:
        return None
    if lock is not None and byte in lock.held:
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


def _open_for_locks(path: Path, mode: int) -> int:
    """Open a file, and create it with exactly this mode, whatever the umask; a link is not followed."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return os.open(path, flags)
    os.fchmod(descriptor, mode)  # only of a file that is new: another one may be somebody else's
    return descriptor


class FileMutex:
    """Lets one process, and one thread of it, at a time change the files of a folder. There is one for each file."""

    _known: ClassVar[dict[Path, FileMutex]] = {}

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        self._lock = RecordLock(path, mode)
        self._thread_mutex = threading.Lock()
        """Record locks exclude other processes, not other threads."""

    @classmethod
    def of(cls, path: Path, mode: int = 0o600) -> FileMutex:
        """The mutex of this process for a file; a second lock on it would not exclude the first. Raises `OSError`."""
        if path not in cls._known or not path.exists():
            cls._known[path] = cls(path, mode)
        return cls._known[path]

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold it inside the context; a suspended process that holds it delays this only for `MUTEX_SECONDS`."""
        with self._thread_mutex:
            until = time.monotonic() + MUTEX_SECONDS
            while not (held := self._lock.acquire(0)) and time.monotonic() < until:
                time.sleep(POLL_SECONDS)
            try:
                yield
            finally:
                if held:
                    self._lock.release(0)
