"""What a supervisor looks at while its worker works: whether the run gets on, and what it takes of the machine."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from workbench.io.atomic import read_json
from workbench.runs.control import PAUSED, STOPPING, WAITING
from workbench.runs.layout import RunFolder
from workbench.runs.records import Journal, read_lines
from workbench.runs.usage import FIRST, Usage, interval

LOOK_SECONDS = 5.0


class Stall:
    """Tells once that a run does not get on any more; again only after it did."""

    def __init__(self, seconds: float, now: float) -> None:
        self._seconds, self._since, self._told = seconds, now, False
        self._seen: Any = None

    def look(self, beat: dict[str, Any], now: float) -> bool:
        """Whether, of this heartbeat, it must now be said that nothing has moved for too long."""
        seen = [beat.get(name) for name in ("attempt", "phase", "step", "progress", "epoch")]
        if seen != self._seen or beat.get("phase") in {PAUSED, WAITING, STOPPING}:
            self._seen, self._since, self._told = seen, now, False
        if self._told or self._seconds <= 0 or now - self._since < self._seconds:
            return False
        self._told = True
        return True


class Watch:
    """A thread beside one attempt. `stalled` is called once nothing has moved for `stall_seconds` (0: never)."""

    def __init__(self, folder: RunFolder, journal: Journal, attempt: int, stall_seconds: float,
                 stalled: Callable[[], None]) -> None:  # fmt: skip
        self._folder, self._journal, self._attempt = folder, journal, attempt
        self._seconds, self._stalled = stall_seconds, stalled
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, pid: int, gpu: str | None) -> None:
        """Begin, with the worker of this pid on this GPU (UUID)."""
        self._thread = threading.Thread(target=self._look_on, args=(Usage(pid, gpu),), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; nothing is written afterwards."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _look_on(self, usage: Usage) -> None:
        stall = Stall(self._seconds, time.monotonic())
        taken = sum(record.get("kind") == "system" for record in read_lines(self._folder.journal))
        due: float | None = time.monotonic() + FIRST
        while not self._ended.wait(max(0.1, min(LOOK_SECONDS, self._seconds / 4 or LOOK_SECONDS))):
            now = time.monotonic()
            if stall.look(read_json(self._folder.heartbeat) or {}, now):
                self._stalled()
            if due is not None and now >= due:
                with contextlib.suppress(OSError):  # a full disk: nothing depends on this line
                    self._journal.note("system", attempt=self._attempt, **usage.sample())
                taken += 1
                wait = interval(taken)
                due = None if wait is None else now + wait
