"""What each run of the queue waits for: decided from tickets, claims and the driver, by whoever wants to know.

The process that starts queued runs and those that only show them decide in the same way, so there is nothing to store.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from workbench.core.settings_schema import SettingValue
from workbench.core.text import format_bytes, format_time
from workbench.io.record_codec import read_record
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import read_description
from workbench.runs.slurm_job import find_job, read_job, waits_for
from workbench.runs.status import Status, may_be_live, status_of
from workbench.runs.tickets import ResumeOptions, Ticket, TicketQueue
from workbench.system.cuda_order import visible_gpus
from workbench.system.device_claims import CPU_PREFIX, Claims, DeviceClaim, cpu_device, live_claims
from workbench.system.gpu import GpuInventory
from workbench.system.nvml import DriverReport, DriverState, query_driver
from workbench.system.places import NoPlace, PlaceRequest, Places, Shortage
from workbench.system.slurm import JobState

DRIVER_SECONDS, NO_DRIVER_SECONDS = 2.0, 60.0
"""How long an answer of the NVIDIA driver is used, and that there is none."""
SNAPSHOT_SECONDS, REST_FACTOR = 0.5, 20
"""How long a look at a queue is used: at least so long, and so many times as long as it took."""
MAX_HOLDERS = 3
"""So many of the runs that hold a place are named."""


class WaitReason(StrEnum):
    """Why a queued run does not start now."""

    HELD = "held"
    RUN_END = "run end"
    RUN_SUCCESS = "run success"
    TIME = "time"
    CPU_SLOT = "cpu slot"
    GPU = "gpu"
    OTHER_PROCESSES = "other processes"
    MEMORY = "memory"
    EARLIER_RUN = "earlier run"
    NOTHING = "nothing"
    """It starts at any moment."""
    SLURM = "slurm"
    """Slurm decides when it starts."""
    UNMET = "unmet"
    """A run that should have succeeded before has not, so this one never starts."""


@dataclass(frozen=True)
class Waiting:
    """What a queued run waits for."""

    reason: WaitReason
    position: int = 0
    """In the queue, from 1; 0 in Slurm's."""
    job: str = ""
    """The Slurm job that waits."""
    slurm_reason: str = ""
    """What that waits for, as Slurm calls it."""
    slurm_text: str = ""
    """What that waits for, for people."""
    run: str = ""
    """The name of the run that has to end before."""
    time: float = 0.0
    """The earliest start, Unix seconds."""
    memory: int = 0
    """The bytes of GPU memory that it needs."""
    gpus: int = 1
    """How many GPUs it needs."""
    places: int = 0
    """How many places of its kind there are."""
    holders: tuple[str, ...] = ()
    """The names of the runs that hold them."""

    @property
    def place(self) -> str:
        """Where it is queued: `#2`, or `in Slurm (job 12)`."""
        return queue_place(self.position, self.job)

    @property
    def text(self) -> str:
        """What it waits for, for people: `a free CPU slot (2 of 2 taken by a and b)`."""
        taken = _taken(self.holders, self.places)
        match self.reason:
            case WaitReason.HELD:
                return "its release (held)"
            case WaitReason.RUN_END:
                return f"{self.run} to end"
            case WaitReason.RUN_SUCCESS | WaitReason.UNMET:
                return f"{self.run} to succeed"
            case WaitReason.TIME:
                return f"the time {format_time(self.time)}"
            case WaitReason.CPU_SLOT:
                return f"a free CPU slot{taken}"
            case WaitReason.GPU:
                return f"{'a free GPU' if self.gpus == 1 else f'{self.gpus} free GPUs'}{taken}"
            case WaitReason.OTHER_PROCESSES:
                return f"{'a GPU' if self.gpus == 1 else f'{self.gpus} GPUs'} that no other process uses"
            case WaitReason.MEMORY:
                return f"{format_bytes(self.memory)} of GPU memory{taken}"
            case WaitReason.EARLIER_RUN:
                return f"its turn (position {self.position})"
            case WaitReason.SLURM:
                return self.slurm_text
        return "its start"


def queue_place(position: int, job: str) -> str:
    """`#2`, or `in Slurm (job 12)` for a run that waits there."""
    return f"in Slurm (job {job})" if job else f"#{position}"


def _taken(holders: Sequence[str], places: int) -> str:
    """` (2 of 2 taken by a, b)`; empty where nobody holds a place."""
    if not holders:
        return ""
    named = ", ".join(holders[:MAX_HOLDERS]) + (", …" if len(holders) > MAX_HOLDERS else "")
    return f" ({min(len(holders), places)} of {places} taken by {named})"


@dataclass(frozen=True)
class QueuedRun:
    """One run in the queue."""

    ticket: Ticket
    waiting: Waiting
    device: str = ""
    """The place for a run that can start now, the first of several GPUs."""

    @property
    def on_gpu(self) -> bool:
        """Whether that is a GPU."""
        return bool(self.device) and not self.device.startswith(CPU_PREFIX)


class _Driver:
    """The driver's newest answer: asking takes tens of milliseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._report: DriverReport | None = None
        self._until = 0.0

    def report(self, *, fresh: bool = False) -> DriverReport:
        with self._lock:
            if self._report is None or fresh or time.monotonic() >= self._until:
                self._report = query_driver()
                missing = self._report.state is DriverState.MISSING
                self._until = time.monotonic() + (NO_DRIVER_SECONDS if missing else DRIVER_SECONDS)
            return self._report


_driver = _Driver()


def read_places(queue: TicketQueue, *, fresh: bool = False) -> Places:
    """The devices of this host and their claims; with `fresh`, what the driver says now."""
    report = _driver.report(fresh=fresh)
    inventory = GpuInventory(report, visible_gpus(report.gpus), live_claims())
    return Places(inventory, cpu_device(queue.home), queue.slots)


def as_seen_by(places: Places, environment: Mapping[str, str]) -> Places:
    """The devices that a run with this environment can be given."""
    visible = visible_gpus(places.inventory.driver.gpus, environment)
    return replace(places, inventory=replace(places.inventory, visible=visible))


def request_of(ticket: Ticket) -> PlaceRequest:
    """The place that a queued run asks for."""
    return PlaceRequest(ticket.device, ticket.memory, ticket.share, ticket.processes)


def read_queue(queue: TicketQueue, places: Places | None = None) -> list[QueuedRun]:
    """The runs in the queue, in their order, with what each waits for; void tickets are left out."""
    tickets = [ticket for ticket in queue.tickets() if _is_valid(queue, ticket)]
    if not tickets:
        return []
    return decide(queue, tickets, places or read_places(queue), time.time())


def _is_valid(queue: TicketQueue, ticket: Ticket) -> bool:
    return status_of(queue.run_folder(ticket.run)) is Status.QUEUED


def decide(queue: TicketQueue, tickets: Sequence[Ticket], places: Places, now: float) -> list[QueuedRun]:
    """Which runs can start now, and where; and what the others wait for.

    A run that waits only for a place keeps it from those behind it, so that the order is kept.
    """
    found: list[QueuedRun] = []
    for position, ticket in enumerate(tickets, 1):
        waiting = _own_wait(queue, ticket, now)
        if waiting is not None:
            found.append(QueuedRun(ticket, replace(waiting, position=position)))
            continue
        place = as_seen_by(places, ticket.origin.environment).find_all(request_of(ticket))
        if isinstance(place, NoPlace):
            places = places.reserve(place.devices)
            waiting = _wait_for_place(queue, ticket, place, places.slots)
            found.append(QueuedRun(ticket, replace(waiting, position=position)))
            continue
        for device in place:
            places = places.with_claims(_with_claim(places.claims, device, ticket))
        found.append(QueuedRun(ticket, Waiting(WaitReason.NOTHING, position), place[0]))
    return found


def _own_wait(queue: TicketQueue, ticket: Ticket, now: float) -> Waiting | None:
    """What a run waits for besides a place."""
    if ticket.held:
        return Waiting(WaitReason.HELD)
    for run in (*ticket.after, *ticket.after_ok):
        status = _status(queue, run)
        if status is not None and (not status.ended or may_be_live(queue.run_folder(run))):
            succeed = run in ticket.after_ok
            return Waiting(
                WaitReason.RUN_SUCCESS if succeed else WaitReason.RUN_END, run=display_name(queue, run)
            )
    unmet = next((run for run in ticket.after_ok if _status(queue, run) is not Status.FINISHED), None)
    if unmet is not None:
        return Waiting(WaitReason.UNMET, run=display_name(queue, unmet))
    return Waiting(WaitReason.TIME, time=ticket.not_before) if ticket.not_before > now else None


def _status(queue: TicketQueue, run: str) -> Status | None:
    """The status of a run; `None` where it is gone."""
    folder = queue.run_folder(run)
    return status_of(folder) if folder.path.is_dir() else None


def _wait_for_place(queue: TicketQueue, ticket: Ticket, place: NoPlace, slots: int) -> Waiting:
    return Waiting(
        WaitReason(place.shortage),  # each shortage is a reason of the same value
        memory=ticket.memory,
        gpus=ticket.processes,
        places=slots if place.shortage is Shortage.CPU_SLOT else len(place.devices),
        holders=tuple(display_name(queue, run) for run in place.holders),
    )


def _with_claim(claims: Claims, device: str, ticket: Ticket) -> Claims:
    """The claims once a run has started."""
    claim = DeviceClaim(device=device, run=ticket.run, memory=ticket.memory, shared=ticket.share)
    return {**claims, device: [*claims.get(device, ()), claim]}


def display_name(queue: TicketQueue, run: str) -> str:
    """The name of a run; of what is no run here, such as a plan or a run of another home, what its claim says."""
    folder = queue.run_folder(run)
    notes, described = read_record(folder.notes, Notes), read_description(folder.experiment)
    return (notes.name if notes else "") or (described.name if described else "") or run


class _Snapshots:
    """The newest look at each queue, for readers that ask for one run after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[int, float, list[QueuedRun]]] = {}

    def read(self, queue: TicketQueue) -> list[QueuedRun]:
        try:
            changed = queue.folder.stat().st_mtime_ns
        except OSError:
            return []
        with self._lock:
            stamp, until, runs = self._known.get(queue.folder, (0, 0.0, []))
            if stamp != changed or time.monotonic() >= until:
                began = time.monotonic()
                runs = read_queue(queue)
                ended = time.monotonic()
                until = ended + max(SNAPSHOT_SECONDS, REST_FACTOR * (ended - began))
                self._known[queue.folder] = changed, until, runs
            return runs


_snapshots = _Snapshots()


def read_queued(folder: RunFolder) -> QueuedRun | None:
    """A run's place in the queue, known for at most half a second; `None` where it is not queued."""
    runs = _snapshots.read(TicketQueue.of(folder))
    return next((one for one in runs if one.ticket.run == folder.id), None)


def read_waiting(folder: RunFolder) -> Waiting | None:
    """What a queued run waits for, also in Slurm; `None` where it is not queued."""
    queued = read_queued(folder)
    if queued is not None:
        return queued.waiting
    job = read_job(folder)
    if job is None or job.withdrawn:
        return None
    found = find_job(folder, job)
    reason = found.reason if found.state is JobState.WAITING else str(found.state)
    return Waiting(WaitReason.SLURM, job=job.job, slurm_reason=reason, slurm_text=waits_for(found))


def pending_overrides(folder: RunFolder) -> dict[str, SettingValue]:
    """The settings by full name that a queued run will start with instead of those of its record."""
    queued, job = read_queued(folder), read_job(folder)
    resume = queued.ticket.resume if queued else job.resume if job else ResumeOptions()
    return dict(resume.overrides)
