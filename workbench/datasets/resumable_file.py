"""A file of fixed-length records that is written in pieces and can be continued after an interruption."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from workbench.io import atomic_files
from workbench.io.record_codec import Record, read_record, write_record

SAVE_INTERVAL = 5.0
"""Seconds between two recorded points from which writing can continue."""


class PartialFacts(Record, frozen=True, kw_only=True):
    """The progress of a partial file, in the `.json` beside it."""

    count: int = msgspec.field(name="places")
    """Records that are done, including the skipped ones. Its key is that of 0.1.0, which may share the cache."""
    skipped: dict[int, str] = msgspec.field(name="set_aside")
    """Reasons of the records that have no bytes in the file, by index. Its key is that of 0.1.0, too."""
    values: tuple[float, ...] = ()
    """A number of each record that is in the file; empty where records have none."""


class ResumableFile:
    """The file at `path`, locked by this process, and its progress (see `PartialFacts`)."""

    def __init__(self, path: Path, file: BinaryIO, length: int) -> None:
        self.path, self._file, self._length = path, file, length
        self._facts = path.with_name(path.name + ".json")
        self.count = 0
        self.skipped: dict[int, str] = {}
        self.values: list[float] = []
        """The numbers that records were appended with."""
        self._restore_progress()
        self._saved = time.monotonic()

    def _restore_progress(self) -> None:
        """Continue from the recorded progress if the file is long enough for it, else from the start."""
        facts = read_record(self._facts, PartialFacts)
        if facts is not None:
            written = facts.count - len(facts.skipped)
            end = written * self._length
            known = all(0 <= index < facts.count for index in facts.skipped)
            known &= len(facts.values) in {0, written}
            if known and 0 <= end <= os.fstat(self._file.fileno()).st_size:
                self.count, self.skipped = facts.count, dict(facts.skipped)
                self.values = list(facts.values)
        self._file.truncate((self.count - len(self.skipped)) * self._length)

    def append(self, record: bytes, value: float | None = None) -> None:
        """Append the next record; `value`: a number that is kept with it, of all records or of none."""
        self._file.write(record)
        if value is not None:
            self.values.append(value)
        self.count += 1

    def skip(self, reason: str) -> None:
        """Leave the next record out, for this reason."""
        self.skipped[self.count] = reason
        self.count += 1

    def save(self, *, now: bool = False) -> None:
        """Sync the file and record the progress, if the last time is `SAVE_INTERVAL` seconds ago or `now` is set."""
        if now or time.monotonic() - self._saved >= SAVE_INTERVAL:
            self._file.flush()
            os.fsync(self._file.fileno())
            facts = PartialFacts(count=self.count, skipped=self.skipped, values=tuple(self.values))
            write_record(self._facts, facts, durable=False)
            self._saved = time.monotonic()

    def commit(self, target: Path) -> None:
        """Rename the complete file to `target`, synced to disk first, since only its size is checked later."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self.path.replace(target)
        self._facts.unlink(missing_ok=True)
        atomic_files.sync_folder(target.parent)

    def discard(self) -> None:
        """Delete the file and its progress record."""
        self.path.unlink(missing_ok=True)
        self._facts.unlink(missing_ok=True)


def open_locked(path: Path, wait: Callable[[], None]) -> BinaryIO:
    """Open (or create) and lock the file at `path`; `wait` is called while another process holds the lock."""
    while True:
        # Readable by this user only, like all files of a run.
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        file = os.fdopen(descriptor, "a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            wait()
            continue
        except OSError:  # a file system without locks
            return file
        if _is_same_file(path, file):
            return file
        file.close()  # the previous holder has renamed or deleted it meanwhile


def _is_same_file(path: Path, file: BinaryIO) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
