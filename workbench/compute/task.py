"""One request of the screen while it is computed. Imports no torch: images are opened without it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.compute.protocol import AnyRequest, FromProcess, ProgressUpdate
from workbench.core.progress import Progress

_PROGRESS_SECONDS = 0.1


@dataclass
class Task:
    """One request under way: it reports its progress, and can be cancelled."""

    id: int
    request: AnyRequest
    send: Callable[[FromProcess], None]
    child: subprocess.Popen[str] | None = None
    """The process that computes it, where that is not this one."""
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _reported: float = 0.0

    def progress(self, progress: Progress) -> None:
        """Send it to the screen, ten times a second at most, and at the end."""
        now = time.monotonic()
        if now - self._reported >= _PROGRESS_SECONDS or progress.done == progress.total:
            self._reported = now
            self.send(ProgressUpdate(self.id, progress))

    def cancelled(self) -> bool:
        """Whether the answer is no longer needed."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """The answer is no longer needed."""
        self._cancelled.set()
        if self.child is not None:
            self.child.kill()
