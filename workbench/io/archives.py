"""Unpacks archives safely: no entry leaves the target folder, and the unpacked size is limited."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import secrets
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from workbench.core.errors import UserError
from workbench.core.progress import (
    CancelCheck,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore_progress,
    never_cancelled,
)
from workbench.core.text import one_line

MAX_BYTES = 200_000_000_000
"""The most bytes an archive may unpack to, whatever its own size."""
MAX_RATIO = 200
"""The most an archive may expand, once the result exceeds `RATIO_FROM` bytes. DEFLATE's limit is 1032; images
come near 1, idx files of mostly black digits near 10."""
RATIO_FROM = 100_000_000
MAX_ENTRIES = 5_000_000

MAX_ENTRY_BYTES = 2_000_000_000
"""The most bytes of a file in a tar that is read into memory."""

_CHUNK = 1 << 20
_UNPACK_ERRORS = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile,
            NotImplementedError, RuntimeError, ValueError, UnicodeError)  # fmt: skip


def unpack(
    archive: Path,
    folder: Path,
    progress: ProgressCallback = ignore_progress,
    cancelled: CancelCheck = never_cancelled,
) -> None:
    """Unpack a zip, tar (plain, .gz, .bz2, .xz) or single compressed file (.gz) into the new folder `folder`.

    The kind of archive is detected from its content. The entries are written to a temporary folder beside `folder`,
    which is renamed when it is complete.

    Raises `UserError` for damaged archives, for entries that would leave the folder or are links or devices, and
    for decompression bombs; `Cancelled` once `cancelled()` is true. Nothing is left behind in either case.
    """
    if folder.exists():
        raise UserError(f"{folder} already exists: move it away to unpack {archive} again")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.part")
    temporary.mkdir(mode=0o700)
    try:
        _Extraction(archive, temporary, progress, cancelled).run()
        temporary.rename(folder)
    except _UNPACK_ERRORS as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{archive} is damaged or not a supported archive: {one_line(error, 120)}") from None
    except OSError as error:
        raise UserError(
            f"can't unpack {archive} into {folder}: {error.strerror or one_line(error, 120)}"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Extraction:
    """The extraction of one archive into one folder, within a budget of bytes and entries."""

    def __init__(
        self, archive: Path, folder: Path, progress: ProgressCallback, cancelled: CancelCheck
    ) -> None:
        self.archive = archive
        self.folder = folder
        self.progress = progress
        self.cancelled = cancelled
        self.written = 0
        self.entries = 0
        self.total: int | None = None
        self.limit = min(MAX_BYTES, max(RATIO_FROM, MAX_RATIO * archive.stat().st_size))

    def run(self) -> None:
        """Detect the kind of archive and unpack it."""
        if not stat.S_ISREG(self.archive.stat().st_mode):
            raise UserError(f"{self.archive} is not a regular file")
        if zipfile.is_zipfile(self.archive):
            self._zip()
        elif any(self._first_bytes()) and tarfile.is_tarfile(
            self.archive
        ):  # zeros would pass for an empty tar
            self._tar()
        else:
            self._single()

    def _first_bytes(self) -> bytes:
        with open_decompressed(self.archive) as file:
            return file.read(512)

    def _zip(self) -> None:
        with zipfile.ZipFile(self.archive) as file:
            self.total = sum(entry.file_size for entry in file.infolist())
            if self.total > self.limit:
                raise self._too_large_error()
            for entry in file.infolist():
                mode = entry.external_attr >> 16
                if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                    raise self.unsafe_entry_error(entry.filename, "a link or a device")
                path = self.entry_path(entry.filename)
                if entry.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                with file.open(entry) as source:
                    self._copy(source, path)

    def _tar(self) -> None:
        with tarfile.open(self.archive) as file:
            for entry in file:
                path = self.entry_path(entry.name)
                if entry.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                elif not entry.isreg():
                    raise self.unsafe_entry_error(entry.name, "a link or a device")
                elif (source := file.extractfile(entry)) is not None:
                    with source:
                        self._copy(source, path)

    def _single(self) -> None:
        """Unpack a single compressed file: `name.gz` becomes `name`."""
        with open_decompressed(self.archive) as source:
            if isinstance(source, io.BufferedReader):
                raise UserError(f"{self.archive} is damaged or not a supported archive: download it again")
            self._copy(source, self.folder / self.archive.stem)

    def entry_path(self, name: str) -> Path:
        """The path that an entry is written to; raises `UserError` if it is not below the folder."""
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            raise UserError(f"{self.archive} was rejected: it has more than {MAX_ENTRIES:,} entries")
        parts = PurePosixPath(name).parts
        if not name or name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
            raise self.unsafe_entry_error(name, "a path outside the folder")
        return self.folder.joinpath(*parts)

    def _copy(self, source: IO[bytes], path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as target:
            for chunk in _chunks(source):
                self.written += len(chunk)
                if self.written > self.limit:
                    raise self._too_large_error()
                target.write(chunk)
                self._report_progress()
        self._report_progress()

    def count(self, content: bytes) -> bytes:
        """`content`, counted as read. Raises `UserError` if that is too much."""
        self.written += len(content)
        if self.written > self.limit:
            raise self._too_large_error()
        self._report_progress()
        return content

    def _report_progress(self) -> None:
        if self.cancelled():
            raise Cancelled
        self.progress(Progress(f"unpacking {self.archive.name}", self.written, self.total, "bytes"))

    def _too_large_error(self) -> UserError:
        return UserError(f"{self.archive} was rejected: unpacked it exceeds {self.limit / 1e9:,.1f} GB")

    def unsafe_entry_error(self, name: str, kind: str) -> UserError:
        return UserError(f"{self.archive} was rejected: its entry {os.fsencode(name)!r:.200} is {kind}")


def read_tar(
    archive: Path,
    progress: ProgressCallback = ignore_progress,
    cancelled: CancelCheck = never_cancelled,
) -> Iterator[tuple[str, bytes]]:
    """The names and contents of the files in a tar (plain, .gz, .bz2, .xz), one after the other.

    Nothing is written. Raises as `unpack`, by the same rules, and for a file of more than `MAX_ENTRY_BYTES`.
    """
    reading = _Extraction(archive, Path(), progress, cancelled)
    try:
        with tarfile.open(archive) as file:
            for entry in file:
                reading.entry_path(entry.name)
                if entry.isdir():
                    continue
                if not entry.isreg():
                    raise reading.unsafe_entry_error(entry.name, "a link or a device")
                if entry.size > MAX_ENTRY_BYTES:
                    raise reading.unsafe_entry_error(
                        entry.name, f"larger than {MAX_ENTRY_BYTES / 1e9:.0f} GB"
                    )
                if (source := file.extractfile(entry)) is not None:
                    yield entry.name, reading.count(source.read())
    except (*_UNPACK_ERRORS, OSError) as error:
        if isinstance(error, UserError | Cancelled):
            raise
        raise UserError(f"{archive} is damaged or no tar archive: {one_line(error, 120)}") from None


def open_decompressed(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressing gzip, bzip2 and xz (detected from its content).

    Raises `UserError` if the file can't be opened; reading from a damaged one raises `OSError`, `EOFError` or
    `LZMAError`.
    """
    try:
        with path.open("rb") as file:
            start = file.read(6)
        if start.startswith(b"\x1f\x8b"):
            return cast("IO[bytes]", gzip.open(path, "rb"))
        if start.startswith(b"BZh"):
            return bz2.open(path, "rb")
        if start == b"\xfd7zXZ\0":
            return lzma.open(path, "rb")
        return path.open("rb")
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from None


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        yield chunk
