"""A file of records of one length that grows in pieces, survives an interruption, and is completed later."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from workbench.io import atomic_files
from workbench.io.record_codec import Record, read_record, write_record

EVERY = 5.0
"""Seconds between two places from which the work can go on."""


class PartialFacts(Record, frozen=True, kw_only=True):
    """The progress of a partial file, in the `.json` beside it."""

    places: int
    """Items that are done."""
    set_aside: dict[int, str]
    """Those of them that have no bytes in the file, and why."""


class Partial:
    """The file at `path`, locked by this process, and its progress (see `PartialFacts`)."""

    def __init__(self, path: Path, file: BinaryIO, length: int) -> None:
        self.path, self._file, self._length = path, file, length
        self._facts = path.with_name(path.name + ".json")
        self.places = 0
        self.aside: dict[int, str] = {}
        self._take_up()
        self._saved = time.monotonic()

    def _take_up(self) -> None:
        """Continue from the recorded progress, if the file is long enough for it; else from the beginning."""
        facts = read_record(self._facts, PartialFacts)
        if facts is not None:
            end = (facts.places - len(facts.set_aside)) * self._length
            if 0 <= end <= os.fstat(self._file.fileno()).st_size:
                self.places, self.aside = facts.places, dict(facts.set_aside)
        self._file.truncate((self.places - len(self.aside)) * self._length)

    def add(self, record: bytes | str) -> None:
        """The next record, or why there is none."""
        if isinstance(record, bytes):
            self._file.write(record)
        else:
            self.aside[self.places] = record
        self.places += 1

    def save(self, *, now: bool = False) -> None:
        """Make it durable up to here, every few seconds or `now`."""
        if now or time.monotonic() - self._saved >= EVERY:
            self._file.flush()
            os.fsync(self._file.fileno())
            facts = PartialFacts(places=self.places, set_aside=self.aside)
            write_record(self._facts, facts, durable=False)
            self._saved = time.monotonic()

    def put(self, target: Path) -> None:
        """It is whole: make it `target`, and return when that is on the disk (only its size is checked later)."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self.path.replace(target)
        self._facts.unlink(missing_ok=True)
        atomic_files.sync_folder(target.parent)

    def discard(self) -> None:
        """Leave nothing of it."""
        self.path.unlink(missing_ok=True)
        self._facts.unlink(missing_ok=True)


def hold(path: Path, wait: Callable[[], None]) -> BinaryIO:
    """The file at `path`, made where there is none, for this process alone; `wait` is called while another has it."""
    while True:
        # For this user's eyes only, as all that is kept of a run.
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
        if _same(path, file):
            return file
        file.close()  # the other one has put it where it belongs meanwhile


def _same(path: Path, file: BinaryIO) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False
