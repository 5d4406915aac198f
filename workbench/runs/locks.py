"""The lock file of a run: which byte means what.

A holder opens the file once, see `record_locks`. On a file system without locks the heartbeat shows whether a run is
live.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from workbench.io.record_locks import RecordLock as RunLock
from workbench.io.record_locks import holder_pid

__all__ = ["SUPERVISOR", "WRITER", "RunLock", "holder_pid", "terminate_holder"]

SUPERVISOR, WRITER = 0, 1


def terminate_holder(path: Path) -> bool:
    """Send SIGTERM to the process of this host that holds a run by its lock file; false where there is none."""
    with contextlib.suppress(OSError):  # a file system without locks, or the process has just ended
        if pid := holder_pid(path, WRITER) or holder_pid(path, SUPERVISOR):
            os.kill(pid, signal.SIGTERM)
            return True
    return False
