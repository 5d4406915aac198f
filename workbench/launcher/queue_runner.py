"""The process that starts queued runs: `python -m workbench.launcher.queue_runner HOME`.

There is one for each `WORKBENCH_HOME` while runs wait, started by whoever needs it and finds none: a command or a
screen that queues a run or shows the queue, and a supervisor whose run has ended. It keeps nothing in memory that
matters: after a crash, the next one continues from the tickets.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from workbench.io.record_locks import RecordLock
from workbench.launcher.detached import Reply, leave_session
from workbench.launcher.fork_client import fork_off_server, start_fork_server
from workbench.launcher.fork_protocol import FORKED
from workbench.launcher.launch import start_queued_run
from workbench.runs.attempts import last_attempt_number
from workbench.runs.enums import Cause, Ending
from workbench.runs.queue_state import QueuedRun, WaitReason, read_places, read_queue
from workbench.runs.records import Exit
from workbench.runs.run_folder import write_exit
from workbench.runs.script import read_script
from workbench.runs.tickets import Ticket, TicketQueue, withdraw
from workbench.system.device_claims import Claims, live_claims

POLL_SECONDS, LOOK_SECONDS = 0.2, 1.0
"""Seconds between looks whether tickets or claims have changed, and at the clock and the GPU driver."""
REST_FACTOR, MAX_REST_SECONDS = 20, 5.0
"""A look takes at most a twentieth of the time, unless a thousand runs are queued."""
GPU_PAUSE_SECONDS = 0.4
"""The longest pause between two looks at a GPU that is free: another user may be about to take it."""
RETRY_SECONDS = 30.0
"""After this time a run is tried again whose failed start could not even be recorded."""


def main() -> None:
    """Leave the starter's session, then start the runs of the queue until none is left."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--ready-fd", type=int, required=True)
    parser.add_argument(FORKED, action="store_true", help="forked with PyTorch imported, as runs can be")
    arguments = parser.parse_args()
    leave_session()
    os.chdir("/")
    os.environ["WORKBENCH_HOME"] = str(arguments.home)
    if arguments.forked:
        fork_off_server(not_inherited=[arguments.ready_fd])
    run_queue(TicketQueue(arguments.home), arguments.ready_fd)


def run_queue(queue: TicketQueue, ready: int) -> None:
    """Start runs until none is left that could start, unless another process does that."""
    lock = RecordLock(queue.runner_lock)
    is_first = lock.acquire(0)
    os.write(ready, Reply.READY.encode())
    os.close(ready)
    while is_first:
        QueueRunner(queue).run()
        lock.release(0)
        # Whoever queued a run before that release has seen the lock held, and relies on this process.
        is_first = bool(_startable(queue)) and lock.acquire(0)


def _startable(queue: TicketQueue) -> list[Ticket]:
    return [ticket for ticket in queue.tickets() if not ticket.held]


class QueueRunner:
    """Starts the runs of one queue, one after the other."""

    def __init__(self, queue: TicketQueue) -> None:
        self._queue = queue
        self._claims: Claims | None = None
        """The claims at the last look."""
        self._retry_at: dict[str, float] = {}
        """When runs are tried again whose failed start could not be recorded, monotonic seconds."""

    def run(self) -> None:
        """Start runs until none is left that could start."""
        while tickets := _startable(self._queue):
            stamp, began = self._stamp(), time.monotonic()
            self._sweep(tickets)
            runs = self._look()
            rest = min(REST_FACTOR * (time.monotonic() - began), MAX_REST_SECONDS)
            waiting = self._start(runs)
            if any(read_script(self._queue.run_folder(one.ticket.run).experiment) is None for one in waiting):
                start_fork_server()  # by the time that one of them can start, PyTorch is imported
            self._wait_for_change(stamp, max(LOOK_SECONDS, rest) if waiting else POLL_SECONDS)

    def _wait_for_change(self, stamp: object, seconds: float) -> None:
        """Wait until tickets or claims change, at most `seconds`."""
        until = time.monotonic() + seconds
        time.sleep(min(POLL_SECONDS, seconds))
        while time.monotonic() < until and self._stamp() == stamp:
            time.sleep(POLL_SECONDS)

    def _stamp(self) -> object:
        """What changes with the tickets, the settings of the queue, and the claims."""
        with contextlib.suppress(OSError):
            return self._queue.folder.stat().st_mtime_ns, live_claims()
        return None

    def _sweep(self, tickets: Sequence[Ticket]) -> None:
        """Remove tickets of runs that are gone, or have started: their supervisor was killed before it could."""
        for ticket in tickets:
            folder = self._queue.run_folder(ticket.run)
            if not folder.path.is_dir() or last_attempt_number(folder) > ticket.attempt:
                self._queue.take(ticket)

    def _look(self) -> list[QueuedRun]:
        """The runs in the queue; the driver is asked again where a run may have freed a GPU."""
        claims = live_claims()
        places = read_places(self._queue, fresh=claims != self._claims)
        self._claims = claims
        return read_queue(self._queue, places)

    def _start(self, runs: Sequence[QueuedRun]) -> list[QueuedRun]:
        """Start what can start; returns the others."""
        now = time.monotonic()
        ready = [
            one
            for one in runs
            if one.waiting.reason is WaitReason.NOTHING and self._retry_at.get(one.ticket.run, now) <= now
        ]
        if any(one.on_gpu for one in ready):
            # Its supervisor takes the second look.
            time.sleep(random.uniform(GPU_PAUSE_SECONDS / 4, GPU_PAUSE_SECONDS))
        for one in ready:
            self._start_run(one.ticket)
        for one in runs:
            if one.waiting.reason is WaitReason.UNMET:
                reason = f"not started: {one.waiting.run} did not succeed"
                withdraw(self._queue.run_folder(one.ticket.run), reason, Cause.DEPENDENCY)
        return [one for one in runs if one not in ready]

    def _start_run(self, ticket: Ticket) -> None:
        folder = self._queue.run_folder(ticket.run)
        try:
            reply = start_queued_run(folder, ticket)
        except OSError as error:  # no process can be started now, or the run's log can't be written
            reply = str(error)
        if reply in {Reply.READY, Reply.NO_PLACE, Reply.NOT_QUEUED}:
            self._claims = None
            return
        text = f"could not be started: {reply or f'see {folder.log}'}"
        print(f"{ticket.run} {text}", file=sys.stderr, flush=True)
        record = Exit(
            status=Ending.FAILED, attempt=ticket.attempt, cause=Cause.ERROR, reason=text,
            time=round(time.time(), 3),
        )  # fmt: skip
        try:
            write_exit(folder, record)
            self._queue.take(ticket)
        except OSError:
            self._retry_at[ticket.run] = time.monotonic() + RETRY_SECONDS


if __name__ == "__main__":
    main()
