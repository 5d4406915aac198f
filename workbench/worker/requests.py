"""What is asked of a worker while it works: by signals, by files in `control/`, by the end of its supervisor."""

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
from workbench.runs.journal import Answer, Journal
from workbench.runs.requests import Reply, Request, StopReason, stopped_by
from workbench.runs.run_folder import RunFolder

POLL_SECONDS = 0.5
PATIENCE = 60.0
"""Seconds a worker without a supervisor has to save and end."""


class Stop(Exception):
    """The run ends here, for a reason that is recorded."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class Release(Exception):
    """The run is paused, and this process ends so that its memory is free; the supervisor holds the run."""


class Requests:
    """Collects requests; the training thread looks at them between two steps, when `due`."""

    def __init__(self, folder: RunFolder, journal: Journal, attempt: int) -> None:
        self._folder, self._journal, self._attempt = folder, journal, attempt
        self._next = 0.0
        self.stop: StopReason | None = None
        """Why to stop, once that is asked for."""
        self.checkpoint = False
        """Whether a checkpoint was asked for by a signal."""

    def install(self) -> None:
        """Listen to SIGTERM, SIGINT (stop) and SIGUSR1 (checkpoint), and to the supervisor's pipe on stdin."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop_by_signal)
        signal.signal(signal.SIGUSR1, self._checkpoint_by_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # The supervisor starts a worker with them held back until here.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1))
        if stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
            threading.Thread(target=self._watch_supervisor, name="supervisor", daemon=True).start()

    @property
    def due(self) -> bool:
        """Whether it is time to look (twice a second, at once after a signal)."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + POLL_SECONDS
        return True

    def pending(self) -> list[Request]:
        """Requests without an answer. Those meant for an attempt before this one are turned down here."""
        found = []
        for request in requests.pending(self._folder):
            if request.attempt < self._attempt:
                self.answer(request, Reply(Outcome.REJECTED, requests.TOO_LATE))
            else:
                found.append(request)
        return found

    def answer(self, request: Request, reply: Reply) -> None:
        """Record the answer, in the journal too."""
        outcome, text = reply
        self._journal.note(Answer(request=request.kind, id=request.id, text=text, outcome=outcome))
        self._journal.keep_trying(lambda: requests.answer(self._folder, request, reply))

    def stopped(self) -> bool:
        """Whether to end: for loading and evaluating, which take no other request (an `io.progress.Cancelled`)."""
        if self.due:
            for request in self.pending():
                if request.kind is RequestKind.STOP:
                    self.take_stop(request)
        return self.stop is not None

    def raise_if_stopped(self) -> None:
        """`stopped` as an exception."""
        if self.stopped() and self.stop is not None:
            raise Stop(self.stop)

    def take_stop(self, request: Request) -> None:
        """Stop as `request` asks, and say so."""
        self.stop = requests.ON_REQUEST
        self.answer(request, Reply(Outcome.DONE, "checkpointing and stopping"))

    def _stop_by_signal(self, number: int, _frame: FrameType | None) -> None:
        self.stop = self.stop or stopped_by(number)
        self._next = 0.0

    def _checkpoint_by_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.checkpoint = True
        self._next = 0.0

    def _watch_supervisor(self) -> None:
        """Stop when the pipe on stdin ends; end by force if that takes too long."""
        try:
            while os.read(sys.stdin.fileno(), 1024):
                continue
        except OSError:
            pass
        self.stop = self.stop or StopReason(Cause.SUPERVISOR_ENDED, "stopped because its supervisor ended")
        self._next = 0.0
        time.sleep(PATIENCE)
        os._exit(3)
