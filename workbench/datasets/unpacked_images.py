"""Images that were taken out of archives or tables: files in a cache folder, with an index of their classes."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.text import format_bytes
from workbench.datasets.resumable_file import open_locked
from workbench.io.record_codec import Record, read_record, write_record

_INDEX = "index.json"
POLL_SECONDS = 0.2
"""Between two checks whether another process has unpacked the same sources."""
_VERSION = 1
"""Part of the name of a folder: increase it when the same sources would give other files."""


class UnpackedImage(Record, frozen=True, kw_only=True):
    """One image of the index."""

    path: str
    """Of its file below the folder."""
    label: str
    size: int
    split: str = ""
    """`train`, `validation`, `test`; empty where its source is not called like one."""
    group: str = ""
    """The name of its group (a patient, a scene); empty for none."""


class UnpackedIndex(Record, frozen=True, kw_only=True):
    """`index.json` of the folder, which is there once it is complete."""

    images: tuple[UnpackedImage, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    """Samples that are not used, and why."""
    classes: tuple[str, ...] = ()
    """In the order of the source, where it has one."""


class ImageFolderWriter:
    """Writes the images of a dataset into a new folder."""

    def __init__(self, folder: Path, modified_ns: int) -> None:
        self._folder, self._modified = folder, modified_ns
        self.images: list[UnpackedImage] = []
        self.skipped: list[tuple[str, str]] = []

    def add(self, image: UnpackedImage, content: bytes) -> None:
        """Write one image, unless another has its path. Raises `UserError` where it can't be written."""
        file = self._folder / image.path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as target:
                target.write(content)
            os.utime(file, ns=(self._modified, self._modified))  # unpacked again it is the same file
        except FileExistsError:
            self.skipped.append((image.path, "a second image of this name"))
            return
        except OSError as error:
            raise UserError(
                f"can't unpack images into {self._folder.parent}: {error.strerror or error}"
            ) from None
        self.images.append(image)


def unpack_images(
    sources: Sequence[Path],
    settings: object,
    write: Callable[[ImageFolderWriter], Iterable[str]],
) -> tuple[Path, UnpackedIndex, int]:
    """The folder of the images in `sources`, its index, and the modification time of its files in nanoseconds.

    They are written by `write`, which returns the classes in their order if it knows one, unless they were for the same
    sources and `settings`. Raises `UserError` where the disk is full, and what `write` raises.
    """
    stats = [file.stat() for file in sources]
    modified = max(status.st_mtime_ns for status in stats)
    identity = [
        (str(file), status.st_size, status.st_mtime_ns) for file, status in zip(sources, stats, strict=True)
    ]
    key = hashlib.sha256(repr((_VERSION, identity, settings)).encode("utf-8", "surrogateescape")).hexdigest()
    folder = paths.unpacked_cache() / key[:40]
    if (index := read_record(folder / _INDEX, UnpackedIndex)) is not None:
        return folder, index, modified
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(f".{folder.name}.lock")
        with open_locked(lock, lambda: time.sleep(POLL_SECONDS)):
            index = read_record(folder / _INDEX, UnpackedIndex)  # of another process, meanwhile
            try:
                if index is None:
                    index = _unpack(folder, modified, sum(status.st_size for status in stats), write)
            finally:
                lock.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"can't unpack images into {folder.parent}: {error.strerror or error}") from None
    return folder, index, modified


def _unpack(
    folder: Path, modified: int, size: int, write: Callable[[ImageFolderWriter], Iterable[str]]
) -> UnpackedIndex:
    """Write the images into a folder beside `folder`, which gets its name once it is complete. Raises `OSError`."""
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    _check_space(folder.parent, size)
    temporary.mkdir(mode=0o700)
    try:
        writer = ImageFolderWriter(temporary, modified)
        classes = tuple(write(writer))
        index = UnpackedIndex(images=tuple(writer.images), skipped=tuple(writer.skipped), classes=classes)
        write_record(temporary / _INDEX, index)
        shutil.rmtree(folder, ignore_errors=True)  # without an index, so incomplete
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return index


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"can't unpack images into {folder}: they need about {format_bytes(needed)}, {format_bytes(free)} are "
            "free; make room, or set WORKBENCH_HOME to another disk"
        )
