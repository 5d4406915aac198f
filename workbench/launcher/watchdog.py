"""Monitoring of a worker by its supervisor: progress and resource usage."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from workbench.io.record_codec import read_record
from workbench.runs.enums import RequestKind
from workbench.runs.journal import Journal, SystemSample, read_journal
from workbench.runs.records import Heartbeat, RequestValues
from workbench.runs.requests import send_request
from workbench.runs.resource_usage import FIRST_SAMPLE_SECONDS, UsageSampler, sample_interval
from workbench.runs.run_folder import RunFolder
from workbench.system.processes import is_suspended

CHECK_SECONDS = 5.0


MAX_GAP_INTERVALS = 3
"""A gap between two checks of more intervals than this is no time without progress: this process was suspended."""


class StallDetector:
    """Detects that a run makes no progress for `seconds` (0: never); reports each stall once.

    Only time that this process has watched counts, in checks every `interval` seconds: not that during which the
    machine slept, or the processes were suspended (SIGSTOP, `scontrol suspend`).
    """

    def __init__(self, seconds: float, now: float, interval: float = CHECK_SECONDS) -> None:
        self._seconds, self._checked, self._reported = seconds, now, False
        self._max_gap = max(MAX_GAP_INTERVALS * interval, 1.0)  # a busy machine delays short intervals
        self._watched = 0.0
        """Seconds watched without progress."""
        self._seen: tuple[object, ...] | None = None

    def update(self, beat: Heartbeat, now: float, *, suspended: bool = False) -> bool:
        """Whether a new stall is detected with heartbeat `beat` at time `now` (seconds, monotonic).

        `suspended`: whether the worker is suspended now.
        """
        gap, self._checked = now - self._checked, now
        seen = (beat.attempt, beat.phase, beat.step, beat.progress, beat.epoch)
        idle = beat.phase is not None and beat.phase.idle
        if seen != self._seen or idle or suspended or gap > self._max_gap:
            # After a suspension the worker needs time for its first step again.
            self._seen, self._watched, self._reported = seen, 0.0, self._reported and seen == self._seen
            return False
        self._watched += gap
        if self._reported or self._seconds <= 0 or self._watched < self._seconds:
            return False
        self._reported = True
        return True


class WorkerMonitor:
    """A thread that monitors one attempt.

    It calls `stalled` after `stall_seconds` without progress, and asks the run to stop after `max_hours` (0: never).
    """

    def __init__(self, folder: RunFolder, journal: Journal, attempt: int, stall_seconds: float,
                 stalled: Callable[[], None], *, max_hours: float = 0.0) -> None:  # fmt: skip
        self._folder, self._journal, self._attempt = folder, journal, attempt
        self._seconds, self._stalled, self._max_hours = stall_seconds, stalled, max_hours
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, pid: int, gpu: str | None, *, all_gpus: bool = False) -> None:
        """Start to monitor the worker with this pid on this GPU (UUID), or on all of them."""
        usage = UsageSampler(pid, gpu, all_gpus=all_gpus)
        self._thread = threading.Thread(target=self._monitor, args=(pid, usage), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; nothing is written afterwards."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _monitor(self, pid: int, usage: UsageSampler) -> None:
        limit = 3600 * self._max_hours
        check_interval = max(
            0.1, min(CHECK_SECONDS, self._seconds / 4 or CHECK_SECONDS, limit or CHECK_SECONDS)
        )
        stop_due: float | None = time.monotonic() + limit if limit else None
        detector = StallDetector(self._seconds, time.monotonic(), check_interval)
        samples = sum(isinstance(record, SystemSample) for record in read_journal(self._folder.journal))
        due: float | None = time.monotonic() + FIRST_SAMPLE_SECONDS
        while not self._ended.wait(check_interval):
            now, beat = time.monotonic(), read_record(self._folder.heartbeat, Heartbeat) or Heartbeat()
            if detector.update(beat, now, suspended=is_suspended(pid)):
                self._stalled()
            if stop_due is not None and now >= stop_due and self._request_stop():
                stop_due = None
            if due is not None and now >= due:
                self._write_sample(usage, beat.step)
                samples += 1
                interval = sample_interval(samples)
                due = None if interval is None else now + interval

    def _request_stop(self) -> bool:
        """Ask the run to write a checkpoint and stop; false on a full disk."""
        with contextlib.suppress(OSError):
            values = RequestValues(max_hours=self._max_hours)
            send_request(self._folder, RequestKind.STOP, self._attempt, values)
            return True
        return False

    def _write_sample(self, usage: UsageSampler, step: int) -> None:
        with contextlib.suppress(OSError):  # a full disk: samples are not essential
            self._journal.append(usage.sample(self._attempt, step))
