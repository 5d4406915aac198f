"""Putting runs into the queue, and making sure that a process is there that starts them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from workbench.config.process_count import process_count
from workbench.core.errors import UserError
from workbench.core.settings_schema import SettingValue
from workbench.core.text import format_bytes
from workbench.launcher.detached import start_detached
from workbench.launcher.resume_settings import ResumedRun
from workbench.runs.attempts import last_attempt_number
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import read_script
from workbench.runs.status import Status, status_of
from workbench.runs.tickets import Origin, ResumeOptions, Ticket, TicketQueue
from workbench.system.gpu import read_inventory

RUNNER = "workbench.launcher.queue_runner"
MAX_LOG_BYTES = 100_000


class QueueOptions(msgspec.Struct, frozen=True, kw_only=True):
    """When and where a queued run may start; the defaults: when its turn has come."""

    after: tuple[str, ...] = ()
    """Ids of runs that have to end before."""
    after_ok: tuple[str, ...] = ()
    """Ids of runs that have to finish successfully before."""
    not_before: float = 0.0
    """The earliest start, Unix seconds."""
    memory: int = 0
    """The bytes of GPU memory that it needs; 0: unknown."""
    share: bool = False
    """Whether it may share a GPU with other runs that allow it."""


def enqueue(
    folder: RunFolder, options: QueueOptions, resume: ResumeOptions, device: str, launcher: str,
    *, processes: int = 1,
) -> None:  # fmt: skip
    """Give a run a ticket at the end of the queue. Raises `UserError` and `OSError`."""
    check_memory(options)
    queue = TicketQueue.of(folder)
    _check_order(queue, folder.id, (*options.after, *options.after_ok))
    queue.add(
        Ticket(
            run=folder.id, attempt=last_attempt_number(folder), after=options.after, after_ok=options.after_ok,
            not_before=options.not_before, memory=options.memory, share=options.share, device=device,
            processes=processes, resume=resume, origin=_origin(launcher),
        )
    )  # fmt: skip
    # The index of ended runs compares the folder's modification time: this run waits from now on.
    os.utime(folder.path)
    ensure_runner(queue.home)


def _check_order(queue: TicketQueue, run: str, after: Sequence[str]) -> None:
    """Raise `UserError` where a run would have to wait for itself, perhaps by way of others."""
    open_runs, seen = list(after), set[str]()
    while open_runs:
        other = open_runs.pop()
        if other == run:
            raise UserError(f"{run} would wait for itself: it has to start before one of {', '.join(after)}")
        ticket = None if other in seen else queue.ticket(other)
        seen.add(other)
        open_runs += [] if ticket is None else (*ticket.after, *ticket.after_ok)


def check_memory(options: QueueOptions) -> None:
    """Raise `UserError` for a run that needs more memory than any GPU of this host has, or shares one without limit."""
    if options.share and not options.memory:
        raise UserError("a run that shares a GPU has to say how much of its memory it needs: --memory 8GB")
    largest = max((gpu.memory_total for gpu in read_inventory().usable), default=0) if options.memory else 0
    if 0 < largest < options.memory:
        raise UserError(
            f"--memory {format_bytes(options.memory)}: the largest GPU of this host has {format_bytes(largest)}"
        )


def _origin(launcher: str) -> Origin:
    return Origin(
        launcher=launcher, directory=str(Path.cwd()), python=sys.executable, environment=dict(os.environ)
    )


def ensure_runner(home: Path) -> None:
    """Start the process that starts queued runs, where one may have to be started and there is none."""
    queue = TicketQueue(home)
    if queue.runner_pid is not None or all(ticket.held for ticket in queue.tickets()):
        return
    log = queue.folder / "runner.log"
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        shutil.move(log, log.with_suffix(".old"))
    # Forked from a process that has imported PyTorch, it can fork the runs that it starts.
    start_detached(RUNNER, [str(home)], log, may_fork=True)


def hold(folder: RunFolder, *, held: bool) -> None:
    """Keep a queued run from starting, or release it. Raises `UserError`."""
    queue = TicketQueue.of(folder)
    check_queued(folder)
    queue.change(folder.id, lambda ticket: replace(ticket, held=held))
    ensure_runner(queue.home)


def change_settings(folder: RunFolder, overrides: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    """Change settings of a run that waits, as a resume can; returns them with their values. Raises `UserError`."""
    check_queued(folder)
    if read_script(folder.experiment) is not None:
        raise UserError(f"{folder.id} is a script, which has no settings of workbench")
    ticket = TicketQueue.of(folder).ticket(folder.id)
    before = ticket.resume.overrides if ticket else {}
    resumed = ResumedRun(folder, {**before, **overrides})
    changed, train = resumed.changed_settings, resumed.after.train

    def change(ticket: Ticket) -> Ticket:
        resume = replace(ticket.resume, overrides=changed)
        return replace(ticket, device=train.device, processes=process_count(train), resume=resume)

    TicketQueue.of(folder).change(folder.id, change)
    return changed


def check_queued(folder: RunFolder) -> None:
    """Raise `UserError` for a run that does not wait in the queue."""
    status = status_of(folder)
    if status is not Status.QUEUED:
        raise UserError(f"{folder.id} is {status}, not queued")
    if TicketQueue.of(folder).ticket(folder.id) is None:
        raise UserError(
            f"{folder.id} waits in Slurm, which decides when it starts; workbench stop cancels it"
        )
