"""What a supervisor monitors while a worker runs: whether the run makes progress, and what it uses of the machine."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from workbench.io.record_codec import read_record
from workbench.runs.journal import Journal, SystemSample, read_journal
from workbench.runs.records import Heartbeat
from workbench.runs.resource_usage import FIRST, Usage, interval
from workbench.runs.run_folder import RunFolder

LOOK_SECONDS = 5.0


class Stall:
    """Reports once that a run makes no progress; again only after it did."""

    def __init__(self, seconds: float, now: float) -> None:
        self._seconds, self._since, self._reported = seconds, now, False
        self._seen: tuple[object, ...] | None = None

    def look(self, beat: Heartbeat, now: float) -> bool:
        """Whether, of this heartbeat, it must now be reported that nothing has moved for too long."""
        seen = (beat.attempt, beat.phase, beat.step, beat.progress, beat.epoch)
        if seen != self._seen or (beat.phase is not None and beat.phase.idle):
            self._seen, self._since, self._reported = seen, now, False
        if self._reported or self._seconds <= 0 or now - self._since < self._seconds:
            return False
        self._reported = True
        return True


class Watch:
    """A thread beside one attempt. `stalled` is called once nothing has moved for `stall_seconds` (0: never)."""

    def __init__(self, folder: RunFolder, journal: Journal, attempt: int, stall_seconds: float,
                 stalled: Callable[[], None]) -> None:  # fmt: skip
        self._folder, self._journal, self._attempt = folder, journal, attempt
        self._seconds, self._stalled = stall_seconds, stalled
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, pid: int, gpu: str | None) -> None:
        """Begin, with the worker of this pid on this GPU (UUID)."""
        self._thread = threading.Thread(target=self._look_on, args=(Usage(pid, gpu),), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; nothing is written afterwards."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _look_on(self, usage: Usage) -> None:
        stall = Stall(self._seconds, time.monotonic())
        taken = sum(isinstance(record, SystemSample) for record in read_journal(self._folder.journal))
        due: float | None = time.monotonic() + FIRST
        while not self._ended.wait(max(0.1, min(LOOK_SECONDS, self._seconds / 4 or LOOK_SECONDS))):
            now = time.monotonic()
            if stall.look(read_record(self._folder.heartbeat, Heartbeat) or Heartbeat(), now):
                self._stalled()
            if due is not None and now >= due:
                self._note(usage)
                taken += 1
                wait = interval(taken)
                due = None if wait is None else now + wait

    def _note(self, usage: Usage) -> None:
        with contextlib.suppress(OSError):  # a full disk: nothing depends on this line
            self._journal.note(usage.sample(self._attempt))
