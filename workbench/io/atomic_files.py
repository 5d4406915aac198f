"""Atomic file writes: a file is written completely or not at all, even if the process is killed or power fails."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from workbench.core.parsing import parse_json
from workbench.io.regular_files import read_regular_file


class TempFile:
    """A file under a temporary name until it is committed."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file

    def commit(self, target: Path, *, durable: bool = True) -> None:
        """Rename the file to `target`, a path in the same folder; if `durable`, only after it is synced to disk."""
        self.file.flush()
        if durable:
            os.fsync(self.file.fileno())
        self.path.replace(target)
        if durable:
            sync_folder(target.parent)


@contextlib.contextmanager
def temp_file(folder: Path, name: str, mode: int = 0o600) -> Iterator[TempFile]:
    """Open a temporary file in `folder` for the content of `name`; it is deleted unless it was committed.

    Raises `OSError` (a full disk).
    """
    temporary = folder / f".{name}.{secrets.token_hex(6)}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            yield TempFile(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Write `data` to `path` atomically: readers see either the old file or the new one.

    A temporary file in the same folder is written, synced and renamed, then the folder is synced.
    `durable=False` skips both syncs, for files that are rewritten every few seconds. Raises `OSError` (a full
    disk), in which case the old file is unchanged and no temporary file is left.
    """
    with temp_file(path.parent, path.name, mode) as temporary:
        temporary.file.write(data)
        temporary.commit(path, durable=durable)


def overwrite_in_place(path: Path, data: bytes) -> None:
    """Overwrite the existing file at `path` with a single write, for a disk too full for a temporary copy.

    Not atomic: a reader can see a partial file. Raises `OSError`, also if the file does not exist.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)


def write_json(path: Path, obj: Any, *, mode: int = 0o600, durable: bool = True) -> None:
    """Write `obj` as JSON, atomically. Raises `ValueError` for NaN and infinities, which JSON does not have."""
    text = json.dumps(obj, allow_nan=False, indent=1)  # ASCII: names that are not UTF-8 survive as escapes
    write_bytes(path, text.encode("ascii") + b"\n", mode=mode, durable=durable)


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in the file at `path`; `None` if it is missing, unreadable, truncated or not an object."""
    try:
        content = parse_json(read_regular_file(path))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable (a no-op on file systems where folders can't be opened or synced)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
