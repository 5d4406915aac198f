"""What one attempt at a run works with, from before torch is there until the end is on record."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.runs.layout import RunFolder
from workbench.runs.records import Journal
from workbench.training.heartbeat import Heartbeat, Stopwatch
from workbench.training.requests import Requests
from workbench.training.room import Room


def context_of(folder: RunFolder, attempt: int, began: float) -> Context:
    """What an attempt works with; it began at `began` (monotonic)."""
    journal, watch = Journal(folder.journal), Stopwatch(began)
    heartbeat, requests = Heartbeat(folder, attempt, watch), Requests(folder, journal, attempt)
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
    heartbeat: Heartbeat
    requests: Requests
    room: Room

    def phase(self, name: str, **values: object) -> None:
        """Say in the heartbeat and the journal what is being done from now on (at `step`, where that counts)."""
        self.heartbeat.show(phase=name)
        self.heartbeat.beat()  # whoever is answered next finds it as it is
        self.journal.note("phase", phase=name, attempt=self.attempt, **values)

    def notice(self, text: str, **values: object) -> None:
        """Put a line for people into the journal (`exact=False` where it costs the run its exactness)."""
        self.journal.note("notice", attempt=self.attempt, text=text, **values)
