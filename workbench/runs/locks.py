"""The lock file of a run: which byte means what.

A holder opens the file once, see `record_locks`. On a file system without locks the heartbeat shows whether a run is
live.
"""

from __future__ import annotations

from workbench.io.record_locks import RecordLock as RunLock
from workbench.io.record_locks import holder_pid

__all__ = ["SUPERVISOR", "WRITER", "RunLock", "holder_pid"]

SUPERVISOR, WRITER = 0, 1
