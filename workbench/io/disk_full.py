"""A disk that takes nothing more: which errors say that, and how people are told of it."""

from __future__ import annotations

import errno
from pathlib import Path

from workbench.core.text import safe

WORDS = {
    errno.ENOSPC: "the disk of {} is full",
    errno.EDQUOT: "the quota on the disk of {} is used up",
    errno.EROFS: "the disk of {} is read-only",
}
NO_ROOM = WORDS.keys()


def why_no_room(error: OSError, place: Path) -> str:
    """`the disk of PLACE is full`, or the like; of an `error` that is none of `NO_ROOM` the system's own words."""
    words = WORDS.get(error.errno or 0)
    return words.format(safe(str(place))) if words else error.strerror or str(error)
