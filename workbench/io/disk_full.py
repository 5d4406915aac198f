"""Errors of a disk that accepts no more data, and their description for the user."""

from __future__ import annotations

import errno
from pathlib import Path

from workbench.core.text import sanitize

_DESCRIPTIONS = {
    errno.ENOSPC: "the disk of {} is full",
    errno.EDQUOT: "the quota on the disk of {} is used up",
    errno.EROFS: "the disk of {} is read-only",
}
DISK_FULL_ERRNOS = _DESCRIPTIONS.keys()


def describe_disk_error(error: OSError, path: Path) -> str:
    """`the disk of PATH is full` or similar; for an error not in `DISK_FULL_ERRNOS`, the system's own message."""
    description = _DESCRIPTIONS.get(error.errno or 0)
    return description.format(sanitize(str(path))) if description else error.strerror or str(error)
