"""Disk space: the check that a run fits before it starts, and waiting for free space while it runs."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from typing import TypeVar

from workbench.core import text
from workbench.core.errors import UserError
from workbench.io.disk_full import DISK_FULL_ERRNOS, describe_disk_error
from workbench.runs.enums import Cause, Phase
from workbench.runs.journal import Journal, Notice
from workbench.runs.requests import StopReason
from workbench.runs.run_folder import RunFolder
from workbench.worker.heartbeat import HeartbeatThread, Stopwatch
from workbench.worker.requests import RequestInbox, Stop

MAX_CHECKPOINTS_ON_DISK = 3
"""Checkpoints on the disk at a time: the last two, and the best or the one that is being written."""
ROW_BYTES = 256
RETRY_SECONDS = 2.0
POLL_SECONDS = 0.1
"""The intervals between two attempts to write, and between two checks for a stop request."""

T = TypeVar("T")


def check_disk_space(folder: RunFolder, checkpoint: int, rows: int) -> None:
    """Raise `UserError` where checkpoints of `checkpoint` bytes and `rows` rows of metrics don't fit on the disk."""
    required = MAX_CHECKPOINTS_ON_DISK * checkpoint + rows * ROW_BYTES
    reusable = sum(path.stat().st_size for path in folder.checkpoint_files())
    free = shutil.disk_usage(folder.path).free
    if required > free + reusable:
        raise UserError(
            f"the run needs about {text.format_bytes(required)} for {MAX_CHECKPOINTS_ON_DISK} checkpoints and "
            f"its metrics, but the disk of {folder.path} has only {text.format_bytes(free)} free; "
            "free some space, or set WORKBENCH_HOME to a folder on a larger disk"
        )


class DiskSpaceWaiter:
    """Waits for free disk space, at most `timeout` seconds at a time (0: not at all). Training thread only."""

    def __init__(
        self,
        folder: RunFolder,
        journal: Journal,
        attempt: int,
        heartbeat: HeartbeatThread,
        requests: RequestInbox,
        *,
        stopwatch: Stopwatch,
    ) -> None:
        self._disk = folder.path.parent
        self._journal, self._attempt = journal, attempt
        self._heartbeat, self._requests, self._stopwatch = heartbeat, requests, stopwatch
        self.timeout = 0.0
        self._waiting = False

    def retry(self, work: Callable[[], T]) -> T:
        """The result of `work`, called again until the disk has enough free space for what it writes.

        Raises `Stop` after the timeout or on a stop request; other errors of `work` are passed on.
        """
        began: float | None = None
        while True:
            try:
                result = work()
            except OSError as error:
                if error.errno not in DISK_FULL_ERRNOS or self._waiting or not self.timeout:
                    raise
                began = began or time.monotonic()
                self._wait(error, began + self.timeout)
            else:
                if began is not None:
                    self._note_wait(time.monotonic() - began)
                return result

    def _note_wait(self, seconds: float) -> None:
        line = f"waited {text.format_duration(seconds)} for free disk space"
        self._journal.append(Notice(attempt=self._attempt, text=line))

    def _wait(self, error: OSError, end: float) -> None:
        """Wait until the next attempt is due. Raises `Stop` after `end`."""
        phase, self._waiting = self._heartbeat.phase, True
        self._heartbeat.update(phase=Phase.WAITING_FOR_SPACE)
        try:
            with self._stopwatch.during("paused"):
                self._wait_for_retry(error, min(end, time.monotonic() + RETRY_SECONDS))
        finally:
            self._waiting = False
            self._heartbeat.update(phase=phase)
        if time.monotonic() >= end:
            raise Stop(
                StopReason(
                    Cause.DISK_FULL,
                    f"the disk stayed full for {text.format_duration(self.timeout)}: "
                    f"{describe_disk_error(error, self._disk)}; resume once there is free space",
                )
            )

    def _wait_for_retry(self, error: OSError, until: float) -> None:
        while time.monotonic() < until:
            # The answer to a stop request can't be written either, but the request itself counts.
            with contextlib.suppress(OSError):
                self._requests.stop_requested()
            if (stop := self._requests.stop) is not None:
                line = f"{stop.text} while the disk was full: {describe_disk_error(error, self._disk)}"
                raise Stop(StopReason(stop.cause, line))
            time.sleep(POLL_SECONDS)
