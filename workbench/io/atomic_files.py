"""The one place that writes files: whole or not at all, whatever ends the process or the power in between."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO


class Draft:
    """A file under a temporary name, until it is put where it belongs."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file

    def put(self, target: Path, *, durable: bool = True) -> None:
        """Make it `target`, a name in the same folder; `durable`: return when that is on the disk."""
        self.file.flush()
        if durable:
            os.fsync(self.file.fileno())
        self.path.replace(target)
        if durable:
            sync_folder(target.parent)


@contextlib.contextmanager
def draft(folder: Path, name: str, mode: int = 0o600) -> Iterator[Draft]:
    """A new file in `folder` to write something called `name` into; what is not put in its place is removed.

    Raises `OSError` (a full disk).
    """
    temporary = folder / f".{name}.{secrets.token_hex(6)}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            yield Draft(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Put `data` at `path`: readers see the old file or the new one, never a part.

    A temporary file in the same folder is written, synced and renamed, then the folder is synced.
    `durable=False` leaves out both syncs, for what is rewritten every few seconds. Raises `OSError` (a full
    disk), in which case the old file stands and no temporary one is left.
    """
    with draft(path.parent, path.name, mode) as new:
        new.file.write(data)
        new.put(path, durable=durable)


def write_over(path: Path, data: bytes) -> None:
    """Put `data` into the file at `path` itself, with one `write()`: for a disk without room for a second one.

    A reader can see a part. Raises `OSError`, where there is no file yet too.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)


def write_json(path: Path, obj: Any, *, mode: int = 0o600, durable: bool = True) -> None:
    """`write_bytes` of `obj` as JSON. NaN and infinities are refused (`ValueError`): JSON has none."""
    text = json.dumps(obj, allow_nan=False, indent=1)  # ASCII: names that are no UTF-8 survive as escapes
    write_bytes(path, text.encode("ascii") + b"\n", mode=mode, durable=durable)


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in the file at `path`; `None` when it is missing, unreadable, torn or no object."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable (a no-op where folders can't be opened or synced)."""
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
