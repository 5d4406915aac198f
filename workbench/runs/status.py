"""A run's status, derived from facts: held locks, the exit record, live processes, the heartbeat. Never stored."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from workbench.io.atomic import read_json
from workbench.runs import locks
from workbench.runs.layout import RunFolder, host
from workbench.runs.processes import alive
from workbench.runs.records import attempts_of, read_lines

HEARTBEAT_LIMIT = 60.0
"""Seconds after which the heartbeat of another host's run says nothing any more."""


class Status(StrEnum):
    """What can be said of a run."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"
    UNKNOWN = "unknown"

    @property
    def live(self) -> bool:
        """Whether a process works on it, or will."""
        return self in {Status.QUEUED, Status.STARTING, Status.RUNNING}


def status_of(folder: RunFolder, attempts: list[dict[str, Any]] | None = None) -> Status:
    """The status of a run. `attempts` saves reading the journal where the caller has it already."""
    held = _held(folder)
    if held:
        return Status.RUNNING if _working(folder) else Status.STARTING
    if attempts is None:
        attempts = attempts_of(read_lines(folder.journal))
    attempt = attempts[-1] if attempts else {}
    ended = read_json(folder.exit)
    if ended and _number(ended) >= _number(attempt):
        word = str(ended.get("status"))
        return Status(word) if word in {"finished", "stopped", "failed"} else Status.UNKNOWN
    origin = attempt or read_json(folder.path / "launch.json") or {}
    if alive(origin):
        return Status.STARTING
    if held is None or (origin and origin.get("host") != host()):
        return _by_heartbeat(folder)
    return Status.LOST  # this host: no lock is held, whatever the heartbeat of before a reboot says


def _held(folder: RunFolder) -> bool | None:
    """Whether either byte is held; `None` where the file system can't tell."""
    try:
        return any(
            locks.holder_of(folder.lock, byte) is not None for byte in (locks.SUPERVISOR, locks.WRITER)
        )
    except OSError:
        return None


def _working(folder: RunFolder) -> bool:
    """Whether the worker holds its byte."""
    with contextlib.suppress(OSError):
        return locks.holder_of(folder.lock, locks.WRITER) is not None
    return False


def _number(record: dict[str, Any]) -> int:
    """The attempt that a record is about; 0 where it says nothing sound."""
    value = record.get("attempt")
    return value if isinstance(value, int) else 0


def _by_heartbeat(folder: RunFolder) -> Status:
    """What the heartbeat tells where locks can't: another host's run, or a file system without them."""
    try:
        age = server_time(folder.path) - folder.heartbeat.stat().st_mtime
    except OSError:
        age = HEARTBEAT_LIMIT
    return Status.RUNNING if age < HEARTBEAT_LIMIT else Status.UNKNOWN


def server_time(folder: Path) -> float:
    """Now, by the clock of the file server that keeps `folder` (ours where it can't be written)."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=".clock-", dir=folder.parent)
    except OSError:
        return time.time()
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        Path(name).unlink(missing_ok=True)
