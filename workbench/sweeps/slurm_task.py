"""What a worker does that is a task of a Slurm array: it leaves its trial in time, and lets Slurm start it again.

Slurm sends SIGUSR1 to the task before its time limit (`--signal` in the batch script), and SIGTERM when it ends the
task: because it was cancelled, another job needs its node, or the time has passed.
"""

from __future__ import annotations

import contextlib
import signal
from types import FrameType

from workbench.launcher.slurm_attempt import put_job_back
from workbench.runs.records import RequestValues
from workbench.system.slurm import SlurmError

LEAVE = RequestValues(requeue=True)
"""How the run of the trial is stopped."""


class SlurmTask:
    """The task that this process is."""

    def __init__(self) -> None:
        self._received: set[int] = set()
        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self._received.add(number)

    @property
    def ends(self) -> bool:
        """Whether Slurm ends it."""
        return bool(self._received)

    def requeue(self) -> None:
        """Ask Slurm to start it once more. A task that may not be is over: other workers take its trial."""
        with contextlib.suppress(SlurmError):
            put_job_back(was_announced=signal.SIGUSR1 in self._received)
