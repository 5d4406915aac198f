"""Passes what the run monitor found to the display: the list of runs, the selected run, notifications."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from workbench.ui.base.messages import Severity
from workbench.ui.base.snapshot import Snapshot
from workbench.ui.services import last_visit
from workbench.ui.services.notifications import bell_enabled
from workbench.ui.services.run_monitor import RunMonitor
from workbench.ui.services.run_state import RunState


class RunDisplay(Protocol):
    """Shows the values of a `RunState`."""

    def show_absence(self, summary: str) -> None:
        """Show what happened since the app was last open."""

    def show_rows(self) -> None:
        """Show the list of runs."""

    def show_selection(self) -> None:
        """Show that another run is selected, and its record and evaluations."""

    def show_record(self) -> None:
        """Show the record of the selected run."""

    def show_evaluations(self) -> None:
        """Show the evaluations of the selected run."""

    def show_overlays(self) -> None:
        """Show the runs beside the selected one."""

    def show_sweeps(self) -> None:
        """Show the list of sweeps."""


class Notifier(Protocol):
    """Notifies the user."""

    def show_notice(self, text: str, severity: Severity) -> None:
        """Show a notification."""

    def ring_bell(self) -> None:
        """Ring the bell of the terminal."""


class RunUpdates:
    """Keeps a `RunState` and its display up to date from `start` to `stop`."""

    def __init__(
        self, state: RunState, display: RunDisplay, notifier: Notifier, deliver: Callable[[Snapshot], object]
    ) -> None:
        """`deliver` is called in the monitor's thread; it must arrange a call of `apply` in the app's thread."""
        self._state, self._display, self._notifier = state, display, notifier
        self._monitor = RunMonitor(state.store, deliver)
        self._last_visit = last_visit.load(state.store)
        self.bell_on = bell_enabled()
        """Whether the bell rings when a run ends."""

    def start(self) -> None:
        """Show the runs now, and start the monitor."""
        self._apply(self._monitor.poll())
        self._monitor.start()

    def stop(self) -> None:
        """Stop the monitor."""
        self._monitor.stop()

    def apply(self, snapshot: Snapshot | None) -> None:
        """Apply a snapshot, unless it is `None`, and let the monitor continue."""
        if snapshot is not None:
            self._apply(snapshot)
        self._monitor.acknowledge()

    def _apply(self, snapshot: Snapshot) -> None:
        change = self._state.apply(snapshot)
        if change.first_rows:
            rows, store = self._state.rows or [], self._state.store
            self._display.show_absence(last_visit.summarize(self._last_visit, rows, store, time.time()))
        for text, severity in change.notifications:
            self._notifier.show_notice(text, severity)
        if change.run_ended and self.bell_on:
            self._notifier.ring_bell()
        if change.rows:
            self._display.show_rows()
        if change.selection:
            self._show_selection()
        if change.view:
            self._display.show_record()
        if change.evaluations:
            self._display.show_evaluations()
        if change.overlays:
            self._display.show_overlays()
        if change.sweeps:
            self._display.show_sweeps()

    def overlay(self, run_ids: Sequence[str]) -> None:
        """Show other runs beside the selected one."""
        self._monitor.overlay(run_ids)

    def read_ranges(self, wanted: bool) -> None:
        """Show the ranges of all metrics in the list, or don't."""
        self._monitor.read_ranges(wanted)

    def select(self, run_id: str | None) -> None:
        """Show another run."""
        if self._state.select(run_id):
            self._show_selection()

    def refresh(self, run_id: str | None = None) -> None:
        """Poll the runs at once; select `run_id` if it is given, a run that was just started."""
        self._monitor.poll_soon()
        if run_id is not None:
            self._state.expect(run_id)
            self.select(run_id)

    def save_visit(self) -> None:
        """Save the state of the runs, for the summary at the next start."""
        if self._state.rows is not None:
            last_visit.save(self._state.rows, self._state.store)

    def _show_selection(self) -> None:
        self._monitor.select(self._state.run_id)
        self._display.show_selection()
