"""The status of a run, derived from held locks, the exit record, live processes and the heartbeat; never stored."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
from enum import StrEnum
from pathlib import Path

from workbench.core.paths import is_file
from workbench.core.text import sanitize
from workbench.io.record_codec import read_record
from workbench.runs import locks
from workbench.runs.enums import Cause
from workbench.runs.external_log import read_external_log
from workbench.runs.journal import Attempt, attempts_of, read_journal
from workbench.runs.records import Exit, Heartbeat, Launch
from workbench.runs.run_folder import RunFolder
from workbench.runs.slurm_job import find_job, read_job
from workbench.runs.tickets import queued_ticket
from workbench.system.host import host_name
from workbench.system.processes import ProcessId, command_line, is_alive, is_suspended
from workbench.system.slurm import EndWord, JobState

HEARTBEAT_TIMEOUT = 60.0
"""Seconds after which an unchanged heartbeat no longer counts as live."""


class Status(StrEnum):
    """The status of a run."""

    STARTING = "starting"
    RUNNING = "running"
    QUEUED = "queued"
    """It waits for its turn, and no process works on it."""
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    CRASHED = "crashed"
    """Its processes ended without recording it."""
    UNKNOWN = "unknown"
    """It may still run on another host, its exit record is damaged, or its log is missing."""
    LOG = "log"
    """Another program writes it, or has written it: whether that program runs is not known."""

    @property
    def live(self) -> bool:
        """Whether a process works on the run."""
        return self in {Status.STARTING, Status.RUNNING}

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the run by itself, as far as is known."""
        return not self.live and self is not Status.QUEUED

    @classmethod
    def _missing_(cls, value: object) -> Status | None:
        return cls.CRASHED if value == "lost" else None  # the name in version 0.1.0


def status_of(folder: RunFolder, attempts: list[Attempt] | None = None) -> Status:
    """The status of a run. Pass `attempts` if the journal is already read."""
    held = _held_locks(folder)
    if held:
        return Status.RUNNING if locks.WRITER in held else Status.STARTING
    if attempts is None:
        attempts = attempts_of(read_journal(folder.journal))
    attempt = attempts[-1] if attempts else None
    ended = read_record(folder.exit, Exit)
    newest = max(attempt.attempt if attempt else 0, ended.attempt if ended else 0)
    if queued_ticket(folder, newest) is not None:
        return Status.QUEUED
    origin = _origin(folder, attempts)
    on_this_host = _is_on_this_host(origin)
    by_slurm = _status_by_slurm(folder, newest, ended, is_visible=held is not None and on_this_host)
    if by_slurm is not None:
        return by_slurm
    if ended is not None and ended.attempt >= (attempt.attempt if attempt else 0):
        return Status(ended.status)
    if attempt is None and (external := read_external_log(folder.experiment)) is not None:
        return Status.UNKNOWN if external.missing_reason else Status.LOG
    if held is None and attempt and heartbeat_is_live(folder, attempt.attempt):
        return Status.RUNNING
    if is_alive(origin) and not _works_elsewhere(origin, folder):
        return Status.STARTING
    if not on_this_host and heartbeat_is_live(folder):
        return Status.RUNNING
    if ended is None and has_damaged_exit(folder):
        return Status.UNKNOWN
    # No lock is held on this host, so a recent heartbeat must be from before a reboot.
    return Status.CRASHED if on_this_host and held is not None else Status.UNKNOWN


def _status_by_slurm(
    folder: RunFolder, newest: int, ended: Exit | None, *, is_visible: bool
) -> Status | None:
    """The status of a run whose job has not started it, or whose end is not recorded; `None` for any other run.

    `newest`: the number of the newest attempt. `is_visible`: whether its processes would be seen from here.
    """
    job = read_job(folder)
    if job is None or job.withdrawn or not job.job:
        return None
    has_started, has_ended = newest > job.attempt, ended is not None and ended.attempt >= newest
    cause = ended.cause if has_started and has_ended and ended is not None else None
    if has_started and has_ended and cause not in {Cause.REQUEUED, Cause.SIGNAL}:
        return None
    works = has_started and not has_ended
    if works and not is_visible and heartbeat_is_live(folder, newest):
        return Status.RUNNING
    found = find_job(folder, job)
    match found.state:
        case JobState.WAITING:
            return Status.QUEUED
        case JobState.STARTED:  # after a signal it is ending, and may wait then
            return Status.RUNNING if works or cause is Cause.SIGNAL else Status.QUEUED
        case JobState.SILENT:
            return None if works or cause is Cause.SIGNAL else Status.QUEUED
    if cause is Cause.SIGNAL:
        return None
    is_cancelled = found.word == EndWord.CANCELLED and not works
    return Status.STOPPED if is_cancelled else Status.CRASHED


def may_be_live(folder: RunFolder) -> bool:
    """Whether a process may be working on a run: it is live, or this can't be seen from this host."""
    status = status_of(folder)
    if status is not Status.UNKNOWN:
        return status.live
    on_this_host = _is_on_this_host(_origin(folder, attempts_of(read_journal(folder.journal))))
    external = read_external_log(folder.experiment) is not None
    return not external and (not on_this_host or _held_locks(folder) != set())


def has_damaged_exit(folder: RunFolder) -> bool:
    """Whether the exit record can't be read: the run has ended, but how is unknown."""
    return os.path.exists(folder.exit) and read_record(folder.exit, Exit) is None  # noqa: PTH110  (never raises)


def unknown_reason(folder: RunFolder) -> str:
    """Why the status of a run is unknown, and what to do, in one line."""
    external = read_external_log(folder.experiment)
    if external is not None:
        return external.missing_reason
    if has_damaged_exit(folder):
        return "exit.json is damaged, so how the run ended is unknown; workbench resume continues it"
    return f"may still be running ({describe_holder(folder)})"


def describe_holder(folder: RunFolder) -> str:
    """The process that works on a run, for people: `process 123 on atlas`."""
    for byte in (locks.SUPERVISOR, locks.WRITER):
        with contextlib.suppress(OSError):
            if pid := locks.holder_pid(folder.lock, byte):
                return f"process {pid} on {host_name()}"
    attempts = attempts_of(read_journal(folder.journal))
    if not attempts:
        return "a process on another host"
    return f"process {attempts[-1].pid} on {sanitize(attempts[-1].host)}"


def suspended_worker(folder: RunFolder) -> int | None:
    """The pid of a run's worker on this host if it is suspended by SIGSTOP, else `None`."""
    with contextlib.suppress(OSError):  # a file system without locks
        pid = locks.holder_pid(folder.lock, locks.WRITER)
        return pid if pid is not None and is_suspended(pid) else None
    return None


def _origin(folder: RunFolder, attempts: list[Attempt]) -> ProcessId:
    """The supervisor of the newest attempt, else the process that started the run."""
    return attempts[-1].process if attempts else read_record(folder.launch, Launch) or ProcessId()


def _works_elsewhere(process: ProcessId, folder: RunFolder) -> bool:
    """Whether a live supervisor works on another folder, of which this one is a copy, judged by its command."""
    named = [Path(argument) for argument in command_line(process.pid)]
    places = [path for path in named if is_file(RunFolder(path).lock)]
    return bool(places) and not any(path.samefile(folder.path) for path in places)


def _is_on_this_host(process: ProcessId) -> bool:
    return not process.host or process.host == host_name()


def _held_locks(folder: RunFolder) -> set[int] | None:
    """Which bytes of the lock file are locked; `None` on a file system without locks."""
    try:
        return {
            byte
            for byte in (locks.SUPERVISOR, locks.WRITER)
            if locks.holder_pid(folder.lock, byte) is not None
        }
    except OSError:
        return None


_counters: dict[Path, tuple[tuple[int, int], float]] = {}
"""Counter of each heartbeat that was read, by run folder, and the monotonic time at which it was first seen."""


def heartbeat_is_live(folder: RunFolder, attempt: int | None = None) -> bool:
    """Whether the heartbeat (of `attempt`) is live, for runs of other hosts and file systems without locks.

    It is while its counter changes, and while the file is recent by the clock of the file server.
    """
    beat = read_record(folder.heartbeat, Heartbeat)
    if beat is None or (attempt is not None and beat.attempt != attempt):
        return False
    now, counter = time.monotonic(), (beat.attempt, beat.counter)
    before, since = _counters.setdefault(folder.path, (counter, -math.inf))
    if before != counter:
        since = now
        _counters[folder.path] = counter, since
    return now - since < HEARTBEAT_TIMEOUT or _is_recent(folder)


def _is_recent(folder: RunFolder) -> bool:
    try:
        age = file_server_time(folder.path) - folder.heartbeat.stat().st_mtime
    except OSError:
        return False
    # abs(): a file from the far future is no evidence either; a clock was set back since.
    return abs(age) < HEARTBEAT_TIMEOUT


def file_server_time(folder: Path) -> float:
    """The current Unix time by the clock of the file server of `folder`; by ours where it is not writable."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=".clock-", dir=folder.parent)
    except OSError:
        return time.time()
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        Path(name).unlink(missing_ok=True)
