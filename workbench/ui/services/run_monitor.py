"""Polls the store and the selected run from a thread of its own, so that a slow disk never delays a key press.

The thread reads into a view that only it uses; changes are passed to the app in a `Snapshot`, and the app applies
them to the view that the panes see (`RunMirror`, on the app's thread). The next poll waits until then.
"""

from __future__ import annotations

import shutil
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace

from workbench.core.errors import UserError
from workbench.runs.metrics import EvaluationFile, EvaluationRow
from workbench.runs.reader import MetricColumns, RunReader, RunView
from workbench.runs.run_report import final_evaluation, read_evaluation
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store
from workbench.ui.base.snapshot import Snapshot, ViewChange
from workbench.ui.services.journal_watch import JournalWatch
from workbench.ui.services.overlaid_runs import OverlaidRuns
from workbench.ui.services.run_list import RunList
from workbench.ui.services.sweep_list import SweepList

POLL_SECONDS = 0.5
MIN_FREE_BYTES = 1 << 20
"""Free bytes that a live run needs to write its heartbeat and metrics."""
MAX_EVALUATIONS = 12
"""The number of a run's newest evaluations that are read for the trends of its classes."""


class RunMirror:
    """The view of the selected run that the panes see."""

    def __init__(self, run_id: str, store: Store) -> None:
        self.view = RunView(store.folder(run_id))

    def apply(self, change: ViewChange) -> RunView:
        """Apply a change to the view."""
        steps = MetricColumns() if change.fresh else self.view.steps
        append_columns(steps, change.view.steps)
        for part in fields(RunView):
            setattr(self.view, part.name, getattr(change.view, part.name))
        self.view.steps = steps
        return self.view


def append_columns(columns: MetricColumns, tail: MetricColumns) -> None:
    """Append the rows of `tail`; a metric that is missing on one side is NaN there."""
    before = len(columns)
    columns.step.extend(tail.step)
    for name in {*columns.values, *tail.values}:
        column = columns.values.setdefault(name, array("d", [float("nan")]) * before)
        column.extend(tail.values.get(name) or array("d", [float("nan")]) * len(tail))


@dataclass
class _Watched:
    """The selected run as the thread reads it, and what of it was delivered."""

    reader: RunReader
    version: int = -1
    status: Status | None = None
    steps: MetricColumns | None = None
    delivered_steps: int = 0
    delivered_evaluations: list[tuple[int, str]] = field(default_factory=list)
    """Their steps and splits."""
    records: dict[tuple[int, str], EvaluationFile] = field(default_factory=dict)

    def poll(self) -> ViewChange | None:
        """What changed, or `None`."""
        view = self.reader.poll()
        if view.version == self.version:
            return None
        self.version = view.version
        fresh = view.steps is not self.steps
        start = 0 if fresh else self.delivered_steps
        self.steps, self.delivered_steps = view.steps, len(view.steps)
        values = {name: column[start:] for name, column in view.steps.values.items()}
        return ViewChange(_copy(view, MetricColumns(view.steps.step[start:], values)), fresh)

    def evaluations(self) -> list[EvaluationFile] | None:
        """The newest evaluations with their classes, or `None` if they are unchanged."""
        rows = shown_evaluations(self.reader.view)
        keys = [(row.step, row.split) for row in rows]
        if keys == self.delivered_evaluations and all(key in self.records for key in keys):
            return None
        records = {}
        for key, row in zip(keys, rows, strict=True):
            record = self.records.get(key) or read_evaluation(self.reader.view.folder, row)
            if record is not None:
                records[key] = record
        self.delivered_evaluations, self.records = keys, records
        return list(records.values())


def _copy(view: RunView, steps: MetricColumns) -> RunView:
    """The view with `steps`. Its lists and dictionaries are copied because the reader adds to them; the columns of
    a series are not: they only grow, and whoever reads them bears with different lengths.
    """
    copied = replace(view, steps=steps)
    for part in fields(copied):
        if isinstance(value := getattr(copied, part.name), list | dict):
            setattr(copied, part.name, value.copy())
    return copied


def shown_evaluations(view: RunView) -> list[EvaluationRow]:
    """The evaluation rows of the classes pane: the final one, then those of the monitored split, newest first."""
    split = "validation" if view.evaluations_of("validation") else "test"
    rows = [row for row in view.evaluations_of(split) if not row.final][-MAX_EVALUATIONS:]
    result = final_evaluation(view)
    return ([result] if result else []) + rows[::-1]


class RunMonitor:
    """Polls twice a second, from `start` to `stop`, and passes every snapshot with changes to `deliver`."""

    def __init__(self, store: Store, deliver: Callable[[Snapshot], object]) -> None:
        self._store, self._deliver = store, deliver
        self._wake, self._acknowledged, self._stopped = (
            threading.Event(),
            threading.Event(),
            threading.Event(),
        )
        self._selected: str | None = None
        self._watched: _Watched | None = None
        self._overlaid = OverlaidRuns(store)
        self._list, self._sweeps = RunList(store), SweepList(store)
        self._rows: list[RunSummary] | None = None
        self._rows_due = 0.0
        self._error: str | None = None
        self._journals = JournalWatch(store)
        self._thread = threading.Thread(target=self._work, name="monitor", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; it closes its files."""
        self._stopped.set()
        self._wake.set()
        self._acknowledged.set()

    def select(self, run_id: str | None) -> None:
        """Follow another run from now on."""
        self._selected = run_id
        self._wake.set()

    def overlay(self, run_ids: Sequence[str]) -> None:
        """Follow these runs beside the selected one from now on."""
        self._overlaid.select(run_ids)
        self._wake.set()

    def read_ranges(self, wanted: bool) -> None:
        """Fill the ranges of all metrics in, or don't."""
        if self._list.with_ranges != wanted:
            self._list.with_ranges = wanted
            self._rows_due = 0.0
            self._wake.set()

    def poll_soon(self) -> None:
        """Poll without waiting for the next half second: an action just changed something."""
        self._list.expire()
        self._sweeps.expire()
        self._rows_due = 0.0
        self._wake.set()

    def acknowledge(self) -> None:
        """The last snapshot was applied; the next poll may start."""
        self._acknowledged.set()

    def poll(self) -> Snapshot:
        """Read what changed since the last poll, in the calling thread."""
        snapshot = Snapshot(self._selected)
        self._poll_rows(snapshot)
        if snapshot.run_id != (self._watched.reader.view.folder.id if self._watched else None):
            self._open(snapshot.run_id)
        if self._watched is not None:
            self._poll_run(self._watched, snapshot)
        self._poll_overlays(snapshot)
        snapshot.sweeps = self._sweeps.poll()
        return snapshot

    def _poll_overlays(self, snapshot: Snapshot) -> None:
        try:
            views = self._overlaid.poll()
        except OSError as failure:
            snapshot.error = f"A marked run can't be read: {failure}"
            return
        if views is not None:
            snapshot.overlays = [
                _copy(view, MetricColumns(view.steps.step, dict(view.steps.values))) for view in views
            ]

    def _poll_run(self, watched: _Watched, snapshot: Snapshot) -> None:
        try:
            snapshot.change = watched.poll()
            if snapshot.change is not None:
                snapshot.evaluations = watched.evaluations()
                self._expire_list(watched, snapshot.change.view.status)
        except OSError as failure:  # the other runs are still shown
            error = f"The files of run {snapshot.run_id} can't be read: {failure}"
            if error != self._error:
                snapshot.error = self._error = error

    def _expire_list(self, watched: _Watched, status: Status) -> None:
        """Let the list show a new status of the selected run too, as of one that is resumed from another terminal."""
        if watched.status not in {None, status}:
            self._list.expire()
        watched.status = status

    def _poll_rows(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if now < self._rows_due:
            return
        self._rows_due = now + POLL_SECONDS  # before the read: `poll_soon` may be called meanwhile
        try:
            rows = self._list.poll()
            live = [row for row in self._list.open_rows if row.status.live]
            error = self._disk_full_error() if live else None
            snapshot.journal_lines = self._journals.poll([row.id for row in live], snapshot.run_id)
        except (UserError, OSError) as failure:
            rows, error = [], str(failure)
        if error != self._error:
            snapshot.error = self._error = error
        if rows != self._rows:
            snapshot.rows = self._rows = rows

    def _disk_full_error(self) -> str | None:
        """Live runs can't report a full disk themselves."""
        if shutil.disk_usage(self._store.root).free >= MIN_FREE_BYTES:
            return None
        return f"The disk is full at {self._store.root}; runs wait until space is free"

    def _open(self, run_id: str | None) -> None:
        if self._watched is not None:
            self._watched.reader.close()
        self._watched = _Watched(RunReader(self._store.folder(run_id))) if run_id else None

    def _work(self) -> None:
        while not self._stopped.is_set():
            snapshot = self.poll()
            behind = self._overlaid.has_unread or (
                self._watched is not None and self._watched.reader.has_unread
            )
            if snapshot.has_changes:
                self._acknowledged.clear()
                self._deliver(snapshot)
                self._acknowledged.wait()
            self._wake.wait(0.01 if behind else POLL_SECONDS)
            self._wake.clear()
        self._open(None)
        self._overlaid.close()
        self._journals.close()
