"""The runs as the app knows them: their list, which is selected, which are marked; kept up to date by snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workbench.core.text import sanitize
from workbench.runs.metrics import EvaluationFile
from workbench.runs.reader import RunView
from workbench.runs.store import RunSummary, Store
from workbench.sweeps.sweep_folder import SweepView
from workbench.ui.base.snapshot import Snapshot
from workbench.ui.base.status_style import display_name
from workbench.ui.services.notifications import (
    RunNotification,
    disk_space_waits,
    journal_notifications,
    run_endings,
)
from workbench.ui.services.run_monitor import RunMirror


@dataclass
class StateChange:
    """What a snapshot changed."""

    notifications: list[RunNotification] = field(default_factory=list)
    rows: bool = False
    first_rows: bool = False
    """Whether the runs were unknown before."""
    run_ended: bool = False
    selection: bool = False
    view: bool = False
    evaluations: bool = False
    overlays: bool = False
    sweeps: bool = False


class RunState:
    """The runs, newest first, and the selection."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rows: list[RunSummary] | None = None
        """All runs; `None` until they are known."""
        self.run_id: str | None = None
        """The id of the selected run; it may have been started a moment ago and be missing in `rows`."""
        self.mirror: RunMirror | None = None
        self.evaluations: Sequence[EvaluationFile] = ()
        self.marked_ids: frozenset[str] = frozenset()
        self.group_ids: frozenset[str] = frozenset()
        """The runs that the row under the cursor stands for, if repeats are folded."""
        self.overlays: Sequence[RunView] = ()
        """Other runs that are shown beside the selected one."""
        self.sweeps: Sequence[SweepView] = ()
        """All sweeps, newest first."""
        self._by_id: dict[str, RunSummary] = {}
        self._expected: str | None = None
        """A run that was just started and is not listed yet."""
        self._notified: set[tuple[str, int]] = set()

    @property
    def selected(self) -> RunSummary | None:
        """The run that the panes show."""
        return self._by_id.get(self.run_id or "")

    @property
    def marked(self) -> list[RunSummary]:
        """The marked runs, else those that the row under the cursor stands for; newest first."""
        ids = self.marked_ids or self.group_ids
        return [self._by_id[run_id] for run_id in sorted(ids, reverse=True) if run_id in self._by_id]

    @property
    def view(self) -> RunView | None:
        """The record of the selected run."""
        return self.mirror.view if self.mirror else None

    def select(self, run_id: str | None) -> bool:
        """Select another run; whether it is another one."""
        if run_id == self.run_id:
            return False
        self.run_id = run_id
        self.mirror = RunMirror(run_id, self.store) if run_id else None
        self.evaluations = ()
        return True

    def expect(self, run_id: str) -> None:
        """Keep a run that was just started selected, even before it is listed."""
        self._expected = None if run_id in self._by_id else run_id

    def apply(self, snapshot: Snapshot) -> StateChange:
        """Take the changes of a snapshot over."""
        change = StateChange()
        if snapshot.error:
            change.notifications.append(RunNotification(snapshot.error, "error"))
        if snapshot.rows is not None:
            self._apply_rows(snapshot.rows, change)
        for run_id, lines in snapshot.journal_lines:
            change.notifications += journal_notifications(self._name(run_id), lines)
        if snapshot.run_id == self.run_id:
            self._apply_view(snapshot, change)
        if snapshot.overlays is not None:
            self.overlays, change.overlays = snapshot.overlays, True
        if snapshot.sweeps is not None:
            self.sweeps, change.sweeps = snapshot.sweeps, True
        return change

    def _apply_rows(self, rows: list[RunSummary], change: StateChange) -> None:
        change.rows, change.first_rows = True, self.rows is None
        before: Mapping[str, RunSummary] = self._by_id
        self.rows, self._by_id = rows, {row.id: row for row in rows}
        ended = run_endings(before, rows)
        change.run_ended = bool(ended)
        change.notifications += ended + disk_space_waits(rows, self._notified)
        if self.run_id in self._by_id:
            self._expected = None
        elif self._expected is None:
            change.selection = self.select(default_run_id(rows))

    def _apply_view(self, snapshot: Snapshot, change: StateChange) -> None:
        if snapshot.change is not None and self.mirror is not None:
            known = len(self.mirror.view.journal) if self.mirror.view.version else None
            self.mirror.apply(snapshot.change)
            if known is not None:  # at the first view of a run, its journal is not new
                new = self.mirror.view.journal[known:]
                change.notifications += journal_notifications(self._name(self.run_id), new)
            change.view = True
        if snapshot.evaluations is not None:
            self.evaluations, change.evaluations = snapshot.evaluations, True

    def _name(self, run_id: str | None) -> str:
        row = self._by_id.get(run_id or "")
        return display_name(row, self.rows or ()) if row is not None else ""


def default_run_id(rows: Sequence[RunSummary]) -> str | None:
    """The newest live run, else the newest."""
    live = [row.id for row in rows if row.status.live]
    return next(iter(live + [row.id for row in rows]), None)


def live_runs_text(rows: Sequence[RunSummary]) -> str:
    """`a and b keep running in the background; …`; empty if no run is live."""
    live = [row.name for row in rows if row.status.live]
    if not live:
        return ""
    names = ", ".join(sanitize(name, 40) for name in live[:3]) + (" and others" if len(live) > 3 else "")
    return f"{names} {'keeps' if len(live) == 1 else 'keep'} running in the background; 'workbench' reopens the app"
