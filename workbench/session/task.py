"""One request of the screen while it is worked on. Imports no torch: pictures are opened without it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from workbench.io.progress import Progress

_PROGRESS_SECONDS = 0.1


@dataclass
class Task:
    """One request under way: how it says how far it is, and whether it is still wanted."""

    id: Any
    request: dict[str, Any]
    say: Callable[[dict[str, Any]], None]
    taken_back: threading.Event = field(default_factory=threading.Event)
    child: subprocess.Popen[str] | None = None
    _said: float = 0.0

    def progress(self, progress: Progress) -> None:
        """Tell the screen, ten times a second at most, and at the end."""
        now = time.monotonic()
        if now - self._said >= _PROGRESS_SECONDS or progress.done == progress.total:
            self._said = now
            self.say({"id": self.id, "progress": asdict(progress)})

    def cancelled(self) -> bool:
        """Whether the request was taken back."""
        return self.taken_back.is_set()

    def take_back(self) -> None:
        """The screen doesn't want it any more."""
        self.taken_back.set()
        if self.child is not None:
            self.child.kill()
