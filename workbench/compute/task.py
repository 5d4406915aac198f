"""A request that is being computed. Imports no torch, as images are opened without it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.compute.protocol import AnyRequest, ProgressUpdate, ServerMessage
from workbench.core.progress import Progress

_PROGRESS_SECONDS = 0.1


@dataclass
class Task:
    """A running request: reports progress, and can be cancelled."""

    id: int
    request: AnyRequest
    send: Callable[[ServerMessage], None]
    stop: Callable[[], None] | None = None
    """Called once it is cancelled, to stop the subprocess that computes it, if any."""
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _reported: float = 0.0
    _delayed: Progress | None = None
    """The newest progress that is still to be sent."""

    def progress(self, progress: Progress) -> None:
        """Send progress to the client, at most once per `_PROGRESS_SECONDS` and when it is complete.

        The newest one is sent in any case, if need be later.
        """
        with self._lock:
            wait = self._reported + _PROGRESS_SECONDS - time.monotonic()
            if wait > 0 and progress.done != progress.total:
                if self._delayed is None:
                    timer = threading.Timer(wait, self._send_delayed)
                    timer.daemon = True
                    timer.start()
                self._delayed = progress
                return
            self._reported, self._delayed = time.monotonic(), None
        self.send(ProgressUpdate(self.id, progress))

    def _send_delayed(self) -> None:
        with self._lock:
            progress, self._delayed = self._delayed, None
            self._reported = time.monotonic()
        if progress is not None:
            self.send(ProgressUpdate(self.id, progress))

    def cancelled(self) -> bool:
        """Whether the request was cancelled."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Cancel the request, and stop the subprocess that computes it."""
        self._cancelled.set()
        stop = self.stop
        if stop is not None:
            stop()
