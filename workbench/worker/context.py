"""The context of one attempt at a run: its folder, journal, heartbeat and requests, available before torch is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

from workbench.runs.attempts import last_attempt_number
from workbench.runs.enums import Phase
from workbench.runs.journal import Journal, Notice, PhaseChange
from workbench.runs.locks import WRITER, RunLock
from workbench.runs.run_folder import RunFolder, remove_temporary_files
from workbench.worker.disk_space import DiskSpaceWaiter
from workbench.worker.heartbeat import HeartbeatThread, Stopwatch
from workbench.worker.membership import Membership
from workbench.worker.requests import RequestInbox


class PhaseValues(TypedDict, total=False):
    """Optional values of a phase's journal line."""

    step: int
    device: str
    threads: int


def open_attempt(started: float, membership: Membership | None = None) -> Context | None:
    """The context of the newest attempt at the run whose folder is this process's argument, which it now writes.

    `None` where another process writes it. `started`: monotonic seconds.
    """
    folder = RunFolder(Path(sys.argv[1]).absolute())
    if not RunLock(folder.lock).acquire(WRITER):
        print(f"another process is already writing {folder.path}", file=sys.stderr)
        return None
    remove_temporary_files(folder)
    return make_context(folder, max(1, last_attempt_number(folder)), started, membership)


def make_context(
    folder: RunFolder, attempt: int, started: float, membership: Membership | None = None
) -> Context:
    """The context of an attempt that started at `started` (monotonic seconds)."""
    journal, watch = Journal(folder.journal), Stopwatch(started)
    heartbeat, requests = HeartbeatThread(folder, attempt, watch), RequestInbox(folder, journal, attempt)
    room = DiskSpaceWaiter(folder, journal, attempt, heartbeat, requests, stopwatch=watch)
    journal.retry = room.retry
    return Context(folder, attempt, journal, watch, heartbeat, requests, room, membership)


@dataclass(frozen=True)
class Context:
    """The run folder of one attempt, and what writes to it."""

    folder: RunFolder
    attempt: int
    journal: Journal
    stopwatch: Stopwatch
    heartbeat: HeartbeatThread
    requests: RequestInbox
    disk_space: DiskSpaceWaiter
    membership: Membership | None = None
    """The place among the processes that train the run together; `None` for a single one."""

    @property
    def is_writer(self) -> bool:
        """Whether this process writes the run's files."""
        return self.membership is None or self.membership.rank == 0

    def enter_phase(self, phase: Phase, **values: Unpack[PhaseValues]) -> None:
        """Record the current phase in the heartbeat and the journal, with `step` where it matters."""
        self.heartbeat.update(phase=phase)
        self.heartbeat.beat()  # an answer sent from now on must find it up to date
        self.journal.append(PhaseChange(phase=phase, attempt=self.attempt, **values))

    def notice(self, text: str, *, exact: bool = True, from_step: int | None = None) -> None:
        """Add a notice to the journal; `exact=False` where the run is no longer exactly reproducible."""
        self.journal.append(Notice(attempt=self.attempt, text=text, exact=exact, from_step=from_step))
