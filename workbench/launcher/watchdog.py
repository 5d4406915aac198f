"""Monitoring of a worker by its supervisor: progress and resource usage."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from workbench.io.record_codec import read_record
from workbench.runs.journal import Journal, SystemSample, read_journal
from workbench.runs.records import Heartbeat
from workbench.runs.resource_usage import FIRST_SAMPLE_SECONDS, UsageSampler, sample_interval
from workbench.runs.run_folder import RunFolder

CHECK_SECONDS = 5.0


class StallDetector:
    """Detects that a run makes no progress for `seconds` (0: never); reports each stall once."""

    def __init__(self, seconds: float, now: float) -> None:
        self._seconds, self._since, self._reported = seconds, now, False
        self._seen: tuple[object, ...] | None = None

    def update(self, beat: Heartbeat, now: float) -> bool:
        """Whether a new stall is detected with heartbeat `beat` at time `now` (seconds, monotonic)."""
        seen = (beat.attempt, beat.phase, beat.step, beat.progress, beat.epoch)
        if seen != self._seen or (beat.phase is not None and beat.phase.idle):
            self._seen, self._since, self._reported = seen, now, False
        if self._reported or self._seconds <= 0 or now - self._since < self._seconds:
            return False
        self._reported = True
        return True


class WorkerMonitor:
    """A thread that monitors one attempt. It calls `stalled` after `stall_seconds` without progress (0: never)."""

    def __init__(self, folder: RunFolder, journal: Journal, attempt: int, stall_seconds: float,
                 stalled: Callable[[], None]) -> None:  # fmt: skip
        self._folder, self._journal, self._attempt = folder, journal, attempt
        self._seconds, self._stalled = stall_seconds, stalled
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, pid: int, gpu: str | None) -> None:
        """Start to monitor the worker with this pid on this GPU (UUID)."""
        self._thread = threading.Thread(target=self._monitor, args=(UsageSampler(pid, gpu),), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; nothing is written afterwards."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _monitor(self, usage: UsageSampler) -> None:
        detector = StallDetector(self._seconds, time.monotonic())
        samples = sum(isinstance(record, SystemSample) for record in read_journal(self._folder.journal))
        due: float | None = time.monotonic() + FIRST_SAMPLE_SECONDS
        while not self._ended.wait(max(0.1, min(CHECK_SECONDS, self._seconds / 4 or CHECK_SECONDS))):
            now = time.monotonic()
            if detector.update(read_record(self._folder.heartbeat, Heartbeat) or Heartbeat(), now):
                self._stalled()
            if due is not None and now >= due:
                self._write_sample(usage)
                samples += 1
                interval = sample_interval(samples)
                due = None if interval is None else now + interval

    def _write_sample(self, usage: UsageSampler) -> None:
        with contextlib.suppress(OSError):  # a full disk: samples are not essential
            self._journal.append(usage.sample(self._attempt))
