"""A run's status, derived from facts: held locks, the exit record, live processes, the heartbeat. Never stored."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
from enum import StrEnum
from pathlib import Path

from workbench.core.text import safe
from workbench.io.record_codec import read_record
from workbench.runs import locks
from workbench.runs.journal import Attempt, attempts_of, read_journal
from workbench.runs.records import Exit, Heartbeat, Launch
from workbench.runs.run_folder import RunFolder
from workbench.system.host import host
from workbench.system.processes import ProcessId, alive

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


def status_of(folder: RunFolder, attempts: list[Attempt] | None = None) -> Status:
    """The status of a run. `attempts` saves reading the journal where the caller has it already."""
    held = _held(folder)
    if held:
        return Status.RUNNING if _working(folder) else Status.STARTING
    if attempts is None:
        attempts = attempts_of(read_journal(folder.journal))
    attempt = attempts[-1] if attempts else None
    ended = read_record(folder.exit, Exit)
    if ended is not None and ended.attempt >= (attempt.attempt if attempt else 0):
        return Status(ended.status)
    origin = attempt.process if attempt else read_record(folder.launch, Launch) or ProcessId()
    here = not origin.host or origin.host == host()
    if held is None and attempt and beats(folder, attempt.attempt):
        return Status.RUNNING
    if alive(origin):
        return Status.STARTING
    if not here and beats(folder):
        return Status.RUNNING
    # On this host no lock is held, whatever the heartbeat of before a reboot says.
    return Status.LOST if here and held is not None else Status.UNKNOWN


def who_has(folder: RunFolder) -> str:
    """Who works on a run, in words: `process 123 on atlas`."""
    for byte in (locks.SUPERVISOR, locks.WRITER):
        with contextlib.suppress(OSError):
            if pid := locks.holder_of(folder.lock, byte):
                return f"process {pid} on {host()}"
    attempts = attempts_of(read_journal(folder.journal))
    if not attempts:
        return "a process on another host"
    return f"process {attempts[-1].pid} on {safe(attempts[-1].host)}"


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


_seen: dict[Path, tuple[tuple[int, int], float]] = {}
"""The counter of each heartbeat that was asked about, and when it was first seen so (monotonic)."""


def beats(folder: RunFolder, attempt: int | None = None) -> bool:
    """Whether the heartbeat (of `attempt`) lives, where locks can't tell: another host's run, or there are no locks.

    It does while its counter moves, and while it is young by the clock of the file server.
    """
    beat = read_record(folder.heartbeat, Heartbeat)
    if beat is None or (attempt is not None and beat.attempt != attempt):
        return False
    now, counter = time.monotonic(), (beat.attempt, beat.counter)
    before, since = _seen.setdefault(folder.path, (counter, -math.inf))
    if before != counter:
        since = now
        _seen[folder.path] = counter, since
    return now - since < HEARTBEAT_LIMIT or _young(folder)


def _young(folder: RunFolder) -> bool:
    try:
        age = server_time(folder.path) - folder.heartbeat.stat().st_mtime
    except OSError:
        return False
    # One from the future tells nothing: a clock was put back since.
    return abs(age) < HEARTBEAT_LIMIT


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
