"""What one attempt at a run works with, from before torch is there until the end is on record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, Unpack

from workbench.runs.enums import Phase
from workbench.runs.journal import Journal, Notice, PhaseChange
from workbench.runs.run_folder import RunFolder
from workbench.worker.disk_space import Room
from workbench.worker.heartbeat import HeartbeatThread, Stopwatch
from workbench.worker.requests import Requests


class PhaseValues(TypedDict, total=False):
    """What a phase's line has beside its name."""

    step: int
    device: str
    threads: int


def context_of(folder: RunFolder, attempt: int, began: float) -> Context:
    """What an attempt works with; it began at `began` (monotonic)."""
    journal, watch = Journal(folder.journal), Stopwatch(began)
    heartbeat, requests = HeartbeatThread(folder, attempt, watch), Requests(folder, journal, attempt)
    room = Room(folder, journal, attempt, heartbeat, requests, watch=watch)
    journal.keep_trying = room.keep_trying
    return Context(folder, attempt, journal, watch, heartbeat, requests, room)


@dataclass(frozen=True)
class Context:
    """What one attempt at a run works with."""

    folder: RunFolder
    attempt: int
    journal: Journal
    watch: Stopwatch
    heartbeat: HeartbeatThread
    requests: Requests
    room: Room

    def phase(self, phase: Phase, **values: Unpack[PhaseValues]) -> None:
        """Show in the heartbeat and the journal what is being done from now on (at `step`, where that counts)."""
        self.heartbeat.show(phase=phase)
        self.heartbeat.beat()  # whoever is answered next finds it as it is
        self.journal.note(PhaseChange(phase=phase, attempt=self.attempt, **values))

    def notice(self, text: str, *, exact: bool = True, from_step: int | None = None) -> None:
        """Put a line for people into the journal (`exact=False` where it costs the run its exactness)."""
        self.journal.note(Notice(attempt=self.attempt, text=text, exact=exact, from_step=from_step))
