"""The context of a process that helps to train a run, but writes none of its files: that is done by rank 0."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from workbench.runs.attempts import last_attempt_number
from workbench.runs.journal import Journal, JournalLine, Notice
from workbench.runs.jsonl import LineWriter
from workbench.runs.requests import Answer, Request
from workbench.runs.run_folder import RunFolder
from workbench.worker.attempt_end import log
from workbench.worker.context import Context
from workbench.worker.disk_space import DiskSpaceWaiter
from workbench.worker.heartbeat import HeartbeatThread, Stopwatch
from workbench.worker.membership import Membership
from workbench.worker.requests import RequestInbox


class DiscardedLines(LineWriter):
    """Metrics, which rank 0 writes."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull))

    def write(self, *records: msgspec.Struct) -> None:
        """Write nothing."""

    def sync(self) -> None:
        """Nothing was written."""


class FollowerJournal(Journal):
    """Writes notices to the log of the process, and nothing to the journal."""

    def append(self, record: JournalLine) -> None:
        """Log a notice."""
        if isinstance(record, Notice):
            log(record.text)

    def sync(self) -> None:
        """Nothing was written."""


class FollowerHeartbeat(HeartbeatThread):
    """Writes no heartbeat."""

    def start(self) -> None:
        """Start no thread."""

    def beat(self) -> None:
        """Write nothing."""


class FollowerInbox(RequestInbox):
    """Gets no requests: rank 0 decides what all processes do."""

    def pending(self) -> list[Request]:
        """No requests."""
        return []

    def answer(self, request: Request, answer: Answer) -> None:
        """Answer nothing."""


def follower_context(folder: RunFolder, membership: Membership, started: float) -> Context:
    """The context of the newest attempt at a run for a process other than rank 0."""
    attempt, journal, watch = (
        last_attempt_number(folder),
        FollowerJournal(Path(os.devnull)),
        Stopwatch(started),
    )
    heartbeat, requests = FollowerHeartbeat(folder, attempt, watch), FollowerInbox(folder, journal, attempt)
    room = DiskSpaceWaiter(folder, journal, attempt, heartbeat, requests, stopwatch=watch)
    return Context(folder, attempt, journal, watch, heartbeat, requests, room, membership)
