"""Room on the disk: whether a run will fit, and patience where what it writes does not."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from typing import TypeVar

from workbench.core import text
from workbench.core.errors import BadInput
from workbench.io.disk_full import NO_ROOM, why_no_room
from workbench.runs.enums import Cause, Phase
from workbench.runs.journal import Journal, Notice
from workbench.runs.requests import StopReason
from workbench.runs.run_folder import RunFolder
from workbench.worker.heartbeat import HeartbeatThread, Stopwatch
from workbench.worker.requests import Requests, Stop

CHECKPOINTS = 3
"""On the disk at a time: the last two, and the best or the one that is being written."""
ROW_BYTES = 256
TRY_SECONDS = 2.0
LOOK_SECONDS = 0.1
"""Between two tries, and between two looks whether somebody wants the run to stop."""

T = TypeVar("T")


def check_space(folder: RunFolder, checkpoint: int, rows: int) -> None:
    """Raise `BadInput` where checkpoints of so many bytes and so many rows of metrics can't fit."""
    wanted = CHECKPOINTS * checkpoint + rows * ROW_BYTES
    there = sum(path.stat().st_size for path in folder.checkpoint_files())
    free = shutil.disk_usage(folder.path).free
    if wanted > free + there:
        raise BadInput(
            f"the run needs about {text.size(wanted)} for {CHECKPOINTS} checkpoints and its record, and "
            f"{folder.path} has {text.size(free)} free: make room, or set WORKBENCH_HOME to a larger disk"
        )


class Room:
    """Waits for room, at most `seconds` at a time (0: not at all). For the training thread alone."""

    def __init__(
        self,
        folder: RunFolder,
        journal: Journal,
        attempt: int,
        heartbeat: HeartbeatThread,
        requests: Requests,
        *,
        watch: Stopwatch,
    ) -> None:
        self._disk = folder.path.parent
        self._journal, self._attempt = journal, attempt
        self._heartbeat, self._requests, self._watch = heartbeat, requests, watch
        self.seconds = 0.0
        self._waiting = False

    def keep_trying(self, work: Callable[[], T]) -> T:
        """What `work` returns, once there is room for what it writes.

        Raises `Stop` when that takes too long or somebody asks for the end; any other `OSError` passes.
        """
        began: float | None = None
        while True:
            try:
                result = work()
            except OSError as error:
                if error.errno not in NO_ROOM or self._waiting or not self.seconds:
                    raise
                began = began or time.monotonic()
                self._wait(error, began + self.seconds)
            else:
                if began is not None:
                    self._tell(time.monotonic() - began)
                return result

    def _tell(self, seconds: float) -> None:
        line = f"waited {text.duration(seconds)} for room on the disk"
        self._journal.note(Notice(attempt=self._attempt, text=line))

    def _wait(self, error: OSError, end: float) -> None:
        """Wait until it is time to try again."""
        phase, self._waiting = self._heartbeat.phase, True
        self._heartbeat.show(phase=Phase.WAITING_FOR_SPACE)
        try:
            with self._watch.during("paused"):
                self._look_out(error, min(end, time.monotonic() + TRY_SECONDS))
        finally:
            self._waiting = False
            self._heartbeat.show(phase=phase)
        if time.monotonic() >= end:
            raise Stop(
                StopReason(
                    Cause.DISK_FULL,
                    f"no room for {text.duration(self.seconds)}: {why_no_room(error, self._disk)}; "
                    "resume once there is some",
                )
            )

    def _look_out(self, error: OSError, until: float) -> None:
        while time.monotonic() < until:
            # The answer to a request can't be written either; what it asks for counts.
            with contextlib.suppress(OSError):
                self._requests.stopped()
            if (stop := self._requests.stop) is not None:
                line = f"{stop.text} while there was no room: {why_no_room(error, self._disk)}"
                raise Stop(StopReason(stop.cause, line))
            time.sleep(LOOK_SECONDS)
