"""The one place that unpacks archives: nothing lands outside the folder, and nothing grows without end."""

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

from workbench.core.errors import BadInput
from workbench.core.progress import Cancelled, Interrupted, Progress, Report, never, silent
from workbench.core.text import one_line

MAX_BYTES = 200_000_000_000
"""What an archive may hold at most, whatever its own size."""
MAX_RATIO = 200
"""How many times its own size an archive may become, once that is more than `RATIO_FROM` bytes. DEFLATE's
limit is 1032; pictures come near 1, idx files of mostly black digits near 10."""
RATIO_FROM = 100_000_000
MAX_ENTRIES = 5_000_000

_CHUNK = 1 << 20
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile,
            NotImplementedError, RuntimeError, ValueError, UnicodeError)  # fmt: skip


def unpack(archive: Path, to: Path, progress: Report = silent, cancelled: Cancelled = never) -> None:
    """Unpack a zip, tar (plain, .gz, .bz2, .xz) or single compressed file (.gz) into the new folder `to`.

    What kind it is comes from its content. It is written beside `to` and renamed when it is whole. Raises
    `BadInput` (one line) for damaged archives, for entries that would leave the folder, that are links or
    devices, and for bombs; `Interrupted` after `cancelled()` is true. Nothing is left then.
    """
    if to.exists():
        raise BadInput(f"{to} is there already: move it away to unpack {archive} again")
    to.parent.mkdir(parents=True, exist_ok=True)
    temporary = to.with_name(f".{to.name}.{secrets.token_hex(6)}.part")
    temporary.mkdir(mode=0o700)
    try:
        _Unpacking(archive, temporary, progress, cancelled).run()
        temporary.rename(to)
    except _DAMAGED as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{archive} is damaged or no archive that is known: {one_line(error, 120)}") from None
    except OSError as error:
        raise BadInput(
            f"{archive} can't be unpacked into {to}: {error.strerror or one_line(error, 120)}"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Unpacking:
    """One archive on its way into one folder, with its budget of bytes and entries."""

    def __init__(self, archive: Path, to: Path, progress: Report, cancelled: Cancelled) -> None:
        self.archive = archive
        self.to = to
        self.progress = progress
        self.cancelled = cancelled
        self.written = 0
        self.entries = 0
        self.total: int | None = None
        self.limit = min(MAX_BYTES, max(RATIO_FROM, MAX_RATIO * archive.stat().st_size))

    def run(self) -> None:
        """Find out what it is, and unpack it."""
        if not stat.S_ISREG(self.archive.stat().st_mode):
            raise BadInput(f"{self.archive} is no file")
        if zipfile.is_zipfile(self.archive):
            self._zip()
        elif any(self._head()) and tarfile.is_tarfile(self.archive):  # zeros would pass for an empty tar
            self._tar()
        else:
            self._single()

    def _head(self) -> bytes:
        with decompressed(self.archive) as file:
            return file.read(512)

    def _zip(self) -> None:
        with zipfile.ZipFile(self.archive) as file:
            self.total = sum(entry.file_size for entry in file.infolist())
            if self.total > self.limit:
                raise self._bomb()
            for entry in file.infolist():
                kind = entry.external_attr >> 16
                if stat.S_IFMT(kind) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                    raise self._refused(entry.filename, "a link or a device")
                path = self._place(entry.filename)
                if entry.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                with file.open(entry) as source:
                    self._copy(source, path)

    def _tar(self) -> None:
        with tarfile.open(self.archive) as file:
            for entry in file:
                path = self._place(entry.name)
                if entry.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                elif not entry.isreg():
                    raise self._refused(entry.name, "a link or a device")
                elif (source := file.extractfile(entry)) is not None:
                    with source:
                        self._copy(source, path)

    def _single(self) -> None:
        """One compressed file: `name.gz` becomes `name`."""
        with decompressed(self.archive) as source:
            if isinstance(source, io.BufferedReader):
                raise BadInput(f"{self.archive} is damaged or no archive that is known: fetch it again")
            self._copy(source, self.to / self.archive.stem)

    def _place(self, name: str) -> Path:
        """Where an entry goes; counted, and refused where that is not below the folder."""
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            raise BadInput(f"{self.archive} is refused: it has more than {MAX_ENTRIES:,} entries")
        parts = PurePosixPath(name).parts
        if not name or name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
            raise self._refused(name, "a path that leads out of the folder")
        return self.to.joinpath(*parts)

    def _copy(self, source: IO[bytes], path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as target:
            for chunk in _chunks(source):
                self.written += len(chunk)
                if self.written > self.limit:
                    raise self._bomb()
                target.write(chunk)
                self._tell()
        self._tell()

    def _tell(self) -> None:
        if self.cancelled():
            raise Interrupted
        self.progress(Progress(f"unpacking {self.archive.name}", self.written, self.total, "bytes"))

    def _bomb(self) -> BadInput:
        return BadInput(f"{self.archive} is refused: unpacked it would be over {self.limit / 1e9:,.1f} GB")

    def _refused(self, name: str, what: str) -> BadInput:
        return BadInput(f"{self.archive} is refused: its entry {os.fsencode(name)!r:.200} is {what}")


def decompressed(path: Path) -> IO[bytes]:
    """A file opened for reading what is in it: .gz, .bz2 and .xz unpacked by their content, all else as it is.

    Raises `BadInput` where it can't be opened; reading raises `OSError`, `EOFError` or `LZMAError` when it is
    damaged.
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
        raise BadInput(f"{path} can't be read: {error.strerror}") from None


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        yield chunk
