"""The end of a file of any length."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.io.regular_files import open_regular_descriptor


def read_tail(path: Path, size: int) -> tuple[bytes, bool]:
    """The last `size` bytes of a file, and whether something precedes them. Raises `OSError`."""
    with os.fdopen(open_regular_descriptor(path), "rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - size))
        return file.read(size), length > size
