"""The queue: a ticket for each run that waits for its turn, `$WORKBENCH_HOME/queue/RUN.json`.

There is no list besides the tickets: the position of a run follows from the `order` of all of them. The run's folder
exists while it waits. Its supervisor takes the ticket once it holds the run and a place for it; whoever takes the
ticket first, to start the run or to take it out of the queue, has it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from workbench.core.errors import UserError
from workbench.core.settings_schema import SettingValue
from workbench.io.record_codec import Record, read_record, write_record
from workbench.io.record_locks import FileMutex, holder_pid
from workbench.runs.enums import Cause, Ending
from workbench.runs.records import Exit
from workbench.runs.run_folder import RunFolder, write_exit

TAKEN_OUT = "taken out of the queue before it started"
DEFAULT_SLOTS = 1
MAX_HOURS, MAX_TIME = 1e6, 2.5e11
"""A century, and a Unix time in the year 9892: later ones have no date."""


class QueueMove(StrEnum):
    """Where a run is moved in the queue."""

    UP = "up"
    DOWN = "down"
    FIRST = "first"
    LAST = "last"

    def target(self, index: int, count: int) -> int:
        """The new index of a run at `index`, from 0; it may be one outside of the queue of `count` runs."""
        return {QueueMove.UP: index - 1, QueueMove.DOWN: index + 1, QueueMove.FIRST: 0}.get(self, count - 1)


class ResumeOptions(Record, frozen=True, kw_only=True):
    """How the next attempt of a run starts; the defaults are those of a new run."""

    overrides: dict[str, SettingValue] = {}
    """Changed settings by full name."""
    accept_changed_data: bool = False
    from_start: bool = False
    data: str = ""
    """Where its dataset is now, if the user says so."""
    max_hours: Annotated[float, Meta(ge=0, le=MAX_HOURS)] = 0.0
    """The hours after which it is stopped; 0: no limit."""

    @property
    def continued(self) -> ResumeOptions:
        """Those of the attempt that continues after a suspension."""
        return ResumeOptions(max_hours=self.max_hours)


class Origin(Record, frozen=True, kw_only=True):
    """What a queued run takes over from the process that queued it."""

    launcher: str = ""
    directory: str = ""
    """The working directory."""
    python: str = ""
    """The interpreter, which may be that of another virtual environment than the queue runner's."""
    environment: dict[str, str] = {}


class Ticket(Record, frozen=True, kw_only=True):
    """One run that waits for its turn."""

    run: str
    order: Annotated[float, Meta(ge=0, le=1e15)] = 0.0
    """Runs start in ascending order."""
    time: float = 0.0
    """When it was queued, Unix seconds."""
    attempt: Annotated[int, Meta(ge=0)] = 0
    """The number of attempts before the one that waits: with a later one, the ticket is void."""
    held: bool = False
    after: tuple[str, ...] = ()
    """Ids of runs that have to end before."""
    after_ok: tuple[str, ...] = ()
    """Ids of runs that have to finish successfully before."""
    not_before: Annotated[float, Meta(ge=0, le=MAX_TIME)] = 0.0
    """The earliest start, Unix seconds."""
    memory: Annotated[int, Meta(ge=0)] = 0
    """The bytes of GPU memory that it needs; 0: unknown."""
    share: bool = False
    device: str = "auto"
    """As in `train.device`."""
    processes: Annotated[int, Meta(ge=1, le=1024)] = 1
    """How many processes train together, each on a GPU of its own."""
    resume: ResumeOptions = ResumeOptions()
    origin: Origin = Origin()


class QueueSettings(Record, frozen=True, kw_only=True):
    """`queue/settings`: the settings of the queue."""

    slots: int = DEFAULT_SLOTS
    """How many runs may use the CPU at once."""


@dataclass(frozen=True)
class TicketQueue:
    """The tickets in `home`."""

    home: Path

    @classmethod
    def of(cls, folder: RunFolder) -> TicketQueue:
        """The queue that a run would be in."""
        return cls(folder.ticket.parent.parent)

    @property
    def folder(self) -> Path:
        """The folder of the tickets."""
        return self.home / "queue"

    @property
    def runner_lock(self) -> Path:
        """The file whose byte 0 the process locks that starts queued runs."""
        return self.folder / "runner.lock"

    @property
    def runner_pid(self) -> int | None:
        """The process that starts queued runs; `None` without one."""
        try:
            return holder_pid(self.runner_lock, 0)
        except OSError:  # a file system without locks
            return None

    def run_folder(self, run: str) -> RunFolder:
        """The folder of a run of this queue."""
        return RunFolder(self.home / "runs" / run)

    def tickets(self) -> list[Ticket]:
        """All tickets, in the order of their start. Some may be void by now."""
        found = {path.stem: read_record(path, Ticket) for path in self.folder.glob("*.json")}
        tickets = [ticket for run, ticket in found.items() if ticket is not None and ticket.run == run]
        return sorted(tickets, key=lambda ticket: (ticket.order, ticket.run))

    def ticket(self, run: str) -> Ticket | None:
        """The ticket of a run; `None` without one."""
        return read_record(self.path(run), Ticket)

    def path(self, run: str) -> Path:
        """The file of a run's ticket."""
        return self.run_folder(run).ticket

    def add(self, ticket: Ticket) -> Ticket:
        """Put a ticket at the end of the queue; returns it with its order. Raises `OSError`."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._changing():
            order = max((other.order for other in self.tickets()), default=0.0) + 1
            added = replace(ticket, order=order, time=round(time.time(), 3))
            self._write(added)
        return added

    def take(self, ticket: Ticket) -> bool:
        """Remove a ticket; false where it is gone, or was changed meanwhile."""
        with self._changing():
            if self.ticket(ticket.run) != ticket:
                return False
            with contextlib.suppress(FileNotFoundError):  # on a file system without locks somebody was faster
                self.path(ticket.run).unlink()
                return True
            return False

    def remove(self, run: str) -> Ticket | None:
        """Remove the ticket of a run and return it; `None` where it is gone."""
        with self._changing():
            ticket = self.ticket(run)
            self.path(run).unlink(missing_ok=True)
            return ticket

    def change(self, run: str, change: Callable[[Ticket], Ticket]) -> Ticket:
        """Change the ticket of a run; returns the new one. Raises `UserError` where the run is not queued."""
        with self._changing():
            ticket = self.ticket(run)
            if ticket is None:
                raise UserError(f"{run} is not in the queue")
            changed = change(ticket)
            self._write(changed)
            return changed

    def move(self, run: str, place: Callable[[int, int], int]) -> int:
        """Move a run to the index `place(index, count)`, both from 0, as near as possible; returns its new position.

        Raises `UserError` where the run is not queued.
        """
        with self._changing():
            tickets = self.tickets()
            index = next((n for n, ticket in enumerate(tickets) if ticket.run == run), None)
            if index is None:
                raise UserError(f"{run} is not in the queue")
            target = min(max(place(index, len(tickets)), 0), len(tickets) - 1)
            tickets.insert(target, tickets.pop(index))
            for number, ticket in enumerate(tickets, 1):
                if ticket.order != number:
                    self._write(replace(ticket, order=float(number)))
            return target + 1

    @property
    def slots(self) -> int:
        """How many runs may use the CPU at once."""
        settings = read_record(self.folder / "settings", QueueSettings) or QueueSettings()
        return max(1, settings.slots)

    def set_slots(self, slots: int) -> None:
        """Change the number of runs that may use the CPU at once. Raises `OSError`."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_record(self.folder / "settings", QueueSettings(slots=slots))

    def _write(self, ticket: Ticket) -> None:
        write_record(self.path(ticket.run), ticket)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """No other process changes tickets inside the context. Without the folder there are none."""
        try:
            mutex = FileMutex.of(self.folder / "mutex.lock")
        except FileNotFoundError:
            yield
            return
        with mutex.hold():
            yield


def withdraw(folder: RunFolder, reason: str = TAKEN_OUT, cause: Cause = Cause.REQUESTED) -> bool:
    """Take a run out of the queue; false where it is not in it, or has just been started. Raises `OSError`.

    One that has never run has ended with that; a resume that waited leaves the run as it was.
    """
    ticket = TicketQueue.of(folder).remove(folder.id)
    if ticket is None:
        return False
    if ticket.attempt == 0:
        record = Exit(
            status=Ending.STOPPED, attempt=0, cause=cause, reason=reason, time=round(time.time(), 3)
        )
        write_exit(folder, record)
    return True


def queued_ticket(folder: RunFolder, last_attempt: int) -> Ticket | None:
    """The ticket of a run whose newest attempt has this number (0: none); `None` without one, or where it is void."""
    ticket = read_record(folder.ticket, Ticket)
    return ticket if ticket is not None and ticket.attempt >= last_attempt else None
