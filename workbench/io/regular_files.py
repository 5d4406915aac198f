"""Opening files that a user names."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from workbench.core.errors import UserError


def open_regular_file(path: Path) -> BinaryIO:
    """Open a regular file for reading; never blocks on a pipe or a device. Raises `UserError` for those."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{path} can't be read: {reason}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path} is not a regular file (a folder, pipe or device)")
    return os.fdopen(descriptor, "rb")


def file_stamp(file: str | Path) -> tuple[int, int] | None:
    """Modification time (nanoseconds) and size, which differ once a file has changed; `None` if it can't be found."""
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
