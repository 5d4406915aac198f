"""Requests to a running worker: by signals, by files in `control/`, and by the end of its supervisor."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
from types import FrameType

from workbench.runs import requests
from workbench.runs.enums import Cause, Outcome, RequestKind
from workbench.runs.journal import Journal
from workbench.runs.requests import Answer, Request, StopReason, signal_stop_reason
from workbench.runs.run_folder import RunFolder

POLL_SECONDS = 0.5
SHUTDOWN_SECONDS = 60.0
"""The time a worker has to save and exit after its supervisor has ended."""


class Stop(Exception):
    """Ends the run, with a reason that is recorded."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class Suspend(Exception):
    """Ends this process while the run is paused, to free its memory; the supervisor holds the run."""


class RequestInbox:
    """Collects requests; the training thread checks them between two steps, when `due`."""

    def __init__(self, folder: RunFolder, journal: Journal, attempt: int) -> None:
        self._folder, self._journal, self._attempt = folder, journal, attempt
        self._next = 0.0
        self.stop: StopReason | None = None
        """Why to stop, once that was requested."""
        self.checkpoint = False
        """Whether a signal requested a checkpoint."""
        self.stop_is_agreed = False
        """Of several processes: whether all of them know of the stop and end at the same point."""

    def install(self) -> None:
        """Handle SIGTERM, SIGINT (stop) and SIGUSR1 (checkpoint), and watch the supervisor's pipe on stdin."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop_by_signal)
        signal.signal(signal.SIGUSR1, self._checkpoint_by_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # The supervisor starts a worker with these signals blocked.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1))
        if stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
            threading.Thread(target=self._watch_supervisor, name="supervisor", daemon=True).start()

    @property
    def due(self) -> bool:
        """Whether it is time to check for requests (twice a second, immediately after a signal)."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + POLL_SECONDS
        return True

    def pending(self) -> list[Request]:
        """Requests without an answer. Those addressed to an earlier attempt are rejected here."""
        pending = []
        for request in requests.pending_requests(self._folder):
            if request.attempt < self._attempt:
                self.answer(request, Answer(Outcome.REJECTED, requests.TOO_LATE))
            else:
                pending.append(request)
        return pending

    def answer(self, request: Request, answer: Answer) -> None:
        """Write the answer, to the journal too."""
        self._journal.append(requests.journal_line(request, answer))
        self._journal.retry(lambda: requests.write_answer(self._folder, request, answer))

    def stop_requested(self) -> bool:
        """Whether to stop: the check of loading and evaluation, which handle no other requests."""
        if self.due:
            for request in self.pending():
                if request.kind is RequestKind.STOP:
                    self.accept_stop(request)
        return self.stop is not None

    def raise_if_stopped(self) -> None:
        """Raise `Stop` if a stop was requested."""
        if self.stop_requested() and self.stop is not None:
            raise Stop(self.stop)

    def accept_stop(self, request: Request, text: str = "checkpointing and stopping") -> None:
        """Accept a stop request and answer it with `text`."""
        self.stop = requests.stop_reason(request.values)
        self.answer(request, Answer(Outcome.DONE, text))

    def _stop_by_signal(self, number: int, _frame: FrameType | None) -> None:
        self.stop = self.stop or signal_stop_reason(number)
        self._next = 0.0

    def _checkpoint_by_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.checkpoint = True
        self._next = 0.0

    def _watch_supervisor(self) -> None:
        """Request a stop when the pipe on stdin ends; exit forcibly if that takes too long."""
        try:
            while os.read(sys.stdin.fileno(), 1024):
                continue
        except OSError:
            pass
        self.stop = self.stop or StopReason(Cause.SUPERVISOR_ENDED, "stopped because its supervisor ended")
        self._next = 0.0
        time.sleep(SHUTDOWN_SECONDS)
        os._exit(3)
