"""The end of a file of any length."""

from __future__ import annotations

import os
from pathlib import Path


def read_tail(path: Path, size: int) -> tuple[bytes, bool]:
    """The last `size` bytes of a file, and whether something precedes them. Raises `OSError`."""
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - size))
        return file.read(size), length > size
