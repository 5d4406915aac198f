"""Which runs an action applies to, and why it is unavailable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from workbench.core.text import plural
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.ui.base.status_style import display_name

LIVE_ONLY = {"stop", "pause", "suspend", "checkpoint", "multiply_lr", "add_epochs"}
ENDED_ONLY = {"resume", "trash"}
QUEUED_ONLY = {"move_in_queue", "hold"}
QUEUED_TOO = {"stop", "trash"}
"""Actions that take a run out of the queue."""
OURS_ONLY = {*LIVE_ONLY, *QUEUED_ONLY, "resume", "log"}
"""Actions on a process of our own, or its output: a log of another program can only be read."""
TRAINING_ONLY = {"pause", "suspend", "checkpoint", "multiply_lr", "add_epochs", "duplicate"}
"""Actions on a training of our own, which no script understands."""
ANY_STATUS = {"log", "duplicate", "notes", "export", "compare", "logged_images", "copy_command"}


class RunSelection(Protocol):
    """The runs, and which are selected and marked."""

    @property
    def rows(self) -> Sequence[RunSummary] | None:
        """All runs; `None` until they are known."""

    @property
    def selected(self) -> RunSummary | None:
        """The run that the panes show."""

    @property
    def marked(self) -> list[RunSummary]:
        """The marked runs, else those of a folded row."""


class RunTargets:
    """The runs that the actions apply to: the marked ones, else the selected one."""

    def __init__(self, selection: RunSelection) -> None:
        self._selection = selection

    @property
    def selected(self) -> RunSummary | None:
        """The selected run; the actions on a single run apply to it."""
        return self._selection.selected

    @property
    def rows(self) -> Sequence[RunSummary]:
        """All runs, as far as they are known."""
        return self._selection.rows or ()

    @property
    def target_runs(self) -> list[RunSummary]:
        """The marked runs, else the selected one."""
        selected = self._selection.selected
        return self._selection.marked or ([selected] if selected else [])

    def eligible_runs(self, action: str) -> list[RunSummary]:
        """The target runs whose kind and status allow `action`."""
        runs = [row for row in self.target_runs if not _objection(action, row)]
        return [row for row in runs if _is_possible(action, row.status)]

    def display_names(self, rows: Sequence[RunSummary]) -> str:
        """The name of the only run of `rows`, else their number."""
        return display_name(rows[0], self.rows) if len(rows) == 1 else plural(len(rows), "run")

    def unavailable_reason(self, action: str, *parameters: object) -> str:
        """Why `action` is unavailable now, in one line; empty if it is available."""
        if action not in LIVE_ONLY | ENDED_ONLY | QUEUED_ONLY | ANY_STATUS or self.eligible_runs(action):
            return ""
        if not self.target_runs:
            return "no runs yet: t trains the experiment"
        first = self.target_runs[:1]
        if objection := _objection(action, first[0]):
            return f"{action_label(action, *parameters)}: {self.display_names(first)} {objection}"
        reason = f"{action_label(action, *parameters)}: {self.display_names(first)} is {first[0].status}"
        if action in QUEUED_ONLY:
            return f"{reason}, not queued; T queues the experiment"
        if first[0].status is Status.QUEUED:
            return f"{reason} and starts by itself; s takes it out of the queue"
        return (
            f"{reason}, not running; r resumes it" if action in LIVE_ONLY else f"{reason}; s stops it first"
        )


def _is_possible(action: str, status: Status) -> bool:
    """Whether a run with this status allows an action."""
    if status is Status.QUEUED and action in QUEUED_TOO:
        return True
    if action in QUEUED_ONLY:
        return status is Status.QUEUED
    if action in LIVE_ONLY:
        return status.live
    return action not in ENDED_ONLY or status.ended


def _objection(action: str, row: RunSummary) -> str:
    """Why an action does not apply to a kind of run; empty if it does."""
    if row.command and action in TRAINING_ONLY:
        return "is a script"
    if row.logs and action in OURS_ONLY | TRAINING_ONLY:
        return "is a log of another program, which can only be read"
    if row.slurm_job and row.status is Status.QUEUED and action in QUEUED_ONLY:
        return "waits in Slurm, which has an order of its own"
    if row.opened and action == "trash":
        return "is only shown, not in the list of runs"
    return ""


def action_label(action: str, *parameters: object) -> str:
    """How messages name an action: `lr ×2`, `epochs +1`, `pause`."""
    match action, *parameters:
        case "multiply_lr", int() | float() as factor:
            return f"lr ×{factor:g}" if factor >= 1 else f"lr ÷{1 / factor:g}"
        case "add_epochs", int() as count:
            return f"epochs {count:+d}"
        case "trash", *_:
            return "move to trash"
        case "move_in_queue", *_:
            return "move in the queue"
        case "copy_command", *_:
            return "command"
        case "logged_images", *_:
            return "images"
    return action
