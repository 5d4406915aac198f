"""Watches the store and one run from a thread of its own, so that no slow disk ever holds up a key press.

The thread reads into a view that only it touches; what is new travels in a `Snapshot` and is put into the view
that the panes see by whoever takes it (`Mirror`, on the screen's thread). The next look waits until then.
"""

from __future__ import annotations

import shutil
import threading
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace

from workbench.core.errors import BadInput
from workbench.runs.metrics import EvaluationFile, EvaluationRow
from workbench.runs.reader import MetricColumns, RunReader, RunView
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import final_evaluation, read_evaluation
from workbench.runs.store import RunSummary, Store
from workbench.ui.base.snapshot import Snapshot, ViewChange
from workbench.ui.services.journal_watch import Journals

LOOK_SECONDS = 0.5
LEAST_ROOM = 1 << 20
"""Bytes that a run needs to go on telling how it is."""
REST = 200
"""The list of runs is read at most a two-hundredth of the time: 10,000 of them are looked at more seldom."""
EVALUATIONS = 12
"""How many of a run's newest evaluations are kept for its classes' trends."""


class Mirror:
    """The view of the selected run that the panes see."""

    def __init__(self, run_id: str, store: Store) -> None:
        self.view = RunView(RunFolder(store.root / run_id))

    def take(self, change: ViewChange) -> RunView:
        """Put a change into the view."""
        steps = MetricColumns() if change.fresh else self.view.steps
        append(steps, change.view.steps)
        for part in fields(RunView):
            setattr(self.view, part.name, getattr(change.view, part.name))
        self.view.steps = steps
        return self.view


def append(columns: MetricColumns, tail: MetricColumns) -> None:
    """Add the rows of `tail`; metrics that one of the two does not have are NaN there."""
    before = len(columns)
    columns.step.extend(tail.step)
    for name in {*columns.values, *tail.values}:
        column = columns.values.setdefault(name, array("d", [float("nan")]) * before)
        column.extend(tail.values.get(name) or array("d", [float("nan")]) * len(tail))


@dataclass
class _Watched:
    """The selected run as the thread reads it."""

    reader: RunReader
    version: int = -1
    steps: MetricColumns | None = None
    sent: int = 0
    shown: list[tuple[int, str]] = field(default_factory=list)
    """Step and split of the evaluations that were sent."""
    records: dict[tuple[int, str], EvaluationFile] = field(default_factory=dict)

    def look(self) -> ViewChange | None:
        """What moved, or `None`."""
        view = self.reader.poll()
        if view.version == self.version:
            return None
        self.version = view.version
        fresh = view.steps is not self.steps
        start = 0 if fresh else self.sent
        self.steps, self.sent = view.steps, len(view.steps)
        values = {name: column[start:] for name, column in view.steps.values.items()}
        return ViewChange(_copy(view, MetricColumns(view.steps.step[start:], values)), fresh)

    def evaluations(self) -> list[EvaluationFile] | None:
        """The newest evaluations with their classes, or `None` where they are the ones given before."""
        rows = shown_evaluations(self.reader.view)
        wanted = [(row.step, row.split) for row in rows]
        if wanted == self.shown and all(key in self.records for key in wanted):
            return None
        found = {}
        for key, row in zip(wanted, rows, strict=True):
            record = self.records.get(key) or read_evaluation(self.reader.view.folder, row)
            if record is not None:
                found[key] = record
        self.shown, self.records = wanted, found
        return list(found.values())


def _copy(view: RunView, steps: MetricColumns) -> RunView:
    """The view with other steps. Its lists are copied: the reader appends to them; the rest it only replaces."""
    copied = replace(view, steps=steps)
    for part in fields(copied):
        if isinstance(value := getattr(copied, part.name), list):
            setattr(copied, part.name, list(value))
    return copied


def shown_evaluations(view: RunView) -> list[EvaluationRow]:
    """The evaluation rows that the classes pane is about, newest first: the result, then the watched split's."""
    split = "validation" if view.of_split("validation") else "test"
    rows = [row for row in view.of_split(split) if not row.final][-EVALUATIONS:]
    result = final_evaluation(view)
    return ([result] if result else []) + rows[::-1]


class Monitor:
    """Looks twice a second, from `start` to `stop`, and hands every snapshot that says something to `deliver`."""

    def __init__(self, store: Store, deliver: Callable[[Snapshot], object]) -> None:
        self._store, self._deliver = store, deliver
        self._wake, self._taken, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._wanted: str | None = None
        self._watched: _Watched | None = None
        self._rows: list[RunSummary] | None = None
        self._rows_due = 0.0
        self._complaint: str | None = None
        self._journals = Journals(store.root)
        self._thread = threading.Thread(target=self._work, name="monitor", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; the thread closes what it has open."""
        self._ended.set()
        self._wake.set()
        self._taken.set()

    def select(self, run_id: str | None) -> None:
        """Follow another run from now on."""
        self._wanted = run_id
        self._wake.set()

    def look_now(self) -> None:
        """Don't wait for the next half second: something was just done."""
        self._rows_due = 0.0
        self._wake.set()

    def taken(self) -> None:
        """The last snapshot has arrived; the next look may come."""
        self._taken.set()

    def look(self) -> Snapshot:
        """What is new, read now."""
        snapshot = Snapshot(self._wanted)
        self._look_at_rows(snapshot)
        if snapshot.run_id != (self._watched.reader.view.folder.id if self._watched else None):
            self._open(snapshot.run_id)
        if self._watched is not None:
            self._look_at_run(self._watched, snapshot)
        return snapshot

    def _look_at_run(self, watched: _Watched, snapshot: Snapshot) -> None:
        try:
            snapshot.change = watched.look()
            if snapshot.change is not None:
                snapshot.evaluations = watched.evaluations()
        except OSError as error:  # the other runs are shown all the same
            complaint = f"the record of {snapshot.run_id} can't be read: {error}"
            if complaint != self._complaint:
                snapshot.complaint = self._complaint = complaint

    def _look_at_rows(self, snapshot: Snapshot) -> None:
        began = time.monotonic()
        if began < self._rows_due:
            return
        self._rows_due = began + LOOK_SECONDS  # before the look: `look_now` may come in between
        try:
            rows = self._store.rows()
            complaint = self._no_room(rows)
            snapshot.journal_lines = self._journals.look(rows, snapshot.run_id)
        except (BadInput, OSError) as error:
            rows, complaint = [], str(error)
        rest = REST * (time.monotonic() - began)
        if self._rows_due and rest > LOOK_SECONDS:
            self._rows_due = began + rest
        if complaint != self._complaint:
            snapshot.complaint = self._complaint = complaint
        if rows != self._rows:
            snapshot.rows = self._rows = rows

    def _no_room(self, rows: list[RunSummary]) -> str | None:
        """That runs go on where nothing can be written: they can't say so themselves."""
        if not any(row.status.live for row in rows) or shutil.disk_usage(self._store.root).free >= LEAST_ROOM:
            return None
        return f"the disk is full at {self._store.root}: runs wait until there is room"

    def _open(self, run_id: str | None) -> None:
        if self._watched is not None:
            self._watched.reader.close()
        self._watched = _Watched(RunReader(RunFolder(self._store.root / run_id))) if run_id else None

    def _work(self) -> None:
        while not self._ended.is_set():
            snapshot = self.look()
            behind = self._watched is not None and self._watched.reader.behind
            if snapshot.says_something:
                self._taken.clear()
                self._deliver(snapshot)
                self._taken.wait()
            self._wake.wait(0.01 if behind else LOOK_SECONDS)
            self._wake.clear()
        self._open(None)
        self._journals.close()
