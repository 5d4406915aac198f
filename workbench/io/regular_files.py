"""Opening files that may be something else: a pipe or a device in their place never blocks."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from workbench.core.errors import UserError


def open_regular_file(path: Path) -> BinaryIO:
    """Open a regular file for reading. Raises `UserError`, also for a folder, pipe or device."""
    try:
        return os.fdopen(open_regular_descriptor(path), "rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        if isinstance(error, OSError) and error.errno == errno.EINVAL:
            raise UserError(f"{path} is not a regular file (a folder, pipe or device)") from None
        raise UserError(f"{path} can't be read: {reason}") from None


def open_regular_descriptor(path: Path) -> int:
    """A descriptor of a regular file, for reading. Raises `OSError`, with `EINVAL` for a folder, pipe or device."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor


def read_regular_file(path: Path) -> bytes:
    """The content of a regular file. Raises `OSError`, also for a folder, pipe or device."""
    with os.fdopen(open_regular_descriptor(path), "rb") as file:
        return file.read()


def file_stamp(file: str | Path) -> tuple[int, int] | None:
    """Modification time (nanoseconds) and size, which differ once a file has changed; `None` if it can't be found."""
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
