"""The list of runs for a poll twice a second: when all of them are read again, however many there are."""

from __future__ import annotations

import threading
import time

from workbench.core.errors import UserError
from workbench.launcher.queue import ensure_runner
from workbench.runs.metric_ranges import MetricRanges
from workbench.runs.queue_state import read_waiting
from workbench.runs.status import Status, status_of
from workbench.runs.store import RunSummary, Store

REST_FACTOR = 400
"""Listing all runs takes at most a four-hundredth of the time of a core: 10,000 runs are listed less often than 100."""
REST_FACTOR_WHEN_MODIFIED = 20
"""The same while runs are added or removed."""
LOG_SECONDS = 0.2
"""How long each listing reads logs of other programs; the first one is on the screen before they are read."""
MAX_REST_SECONDS = 30.0
"""The longest rest, because the first listing, without an index, may take a hundred times as long as the next."""


class RunList:
    """Lists all runs at once when a live run ends, soon when one is added or removed, else as their number allows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ranges = MetricRanges(store.folder)
        self.with_ranges = False
        """Whether the ranges of metrics are filled in; set from any thread."""
        self._rows: list[RunSummary] = []
        self.open_rows: list[RunSummary] = []
        """Those of the runs that are not ended: a poll looks at them alone, as there may be 10,000 others."""
        self._filled: list[RunSummary] = []
        self._filled_for: list[RunSummary] | None = None
        """The runs with their ranges, and the list of which they are."""
        self._listed_at, self._cost = 0.0, 0.0
        """When the runs were listed, and the processor time that it took, in seconds."""
        self._modified: int | None = None
        self._expired = threading.Event()
        self._expired.set()

    def expire(self) -> None:
        """List the runs at the next poll; called from any thread."""
        self._expired.set()

    def poll(self) -> list[RunSummary]:
        """All runs, newest first. Raises `UserError` and `OSError`."""
        modified = self._last_modified()
        unread = self._store.has_unread_logs
        if self._expired.is_set() or unread or self._is_rested(modified) or self._has_run_changed():
            self._expired.clear()  # before the listing: `expire` may be called meanwhile
            try:
                self._read(modified)
            except (UserError, OSError):
                self._expired.set()
                raise
        return self._with_ranges() if self.with_ranges else self._rows

    def _with_ranges(self) -> list[RunSummary]:
        """The runs with the ranges of their metrics, as far as there was time to read them."""
        if self._filled_for is not self._rows or self._ranges.pending:
            self._filled, self._filled_for = self._ranges.fill(self._rows, LOG_SECONDS), self._rows
        return self._filled

    def _read(self, modified: int | None) -> None:
        # The time of this thread alone: the wall time of one listing on a busy machine may be a hundred times as long.
        began = time.thread_time()
        self._rows = self._store.list_runs(LOG_SECONDS if self._listed_at else 0.0)
        self._cost = time.thread_time() - began
        self.open_rows = [row for row in self._rows if not row.status.ended]
        self._listed_at, self._modified = time.monotonic(), modified

    def _is_rested(self, modified: int | None) -> bool:
        factor = REST_FACTOR if modified == self._modified else REST_FACTOR_WHEN_MODIFIED
        return time.monotonic() >= self._listed_at + min(MAX_REST_SECONDS, factor * self._cost)

    def _has_run_changed(self) -> bool:
        """Whether a live run has ended, or started to train, or a queued one waits for something else."""
        queued = [row for row in self.open_rows if row.status is Status.QUEUED]
        for row in queued:
            waiting = read_waiting(self._store.folder(row.id))
            if waiting is None or (waiting.position, waiting.text) != (row.position or 0, row.waits_for):
                return True
        if queued:
            ensure_runner(self._store.home)  # the one that was there may have been killed
        return any(status_of(self._store.folder(row.id)) is not row.status for row in self.open_rows)

    def _last_modified(self) -> int | None:
        """When an entry of the folder of runs was added or removed, in nanoseconds."""
        try:
            return self._store.root.stat().st_mtime_ns
        except OSError:
            return None
