"""What passes from the thread of the run monitor to the app after each poll."""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.runs.journal import JournalLine
from workbench.runs.metrics import EvaluationFile
from workbench.runs.reader import RunView
from workbench.runs.store import RunSummary
from workbench.sweeps.sweep_folder import SweepView

JournalLines = list[tuple[str, list[JournalLine]]]
"""Ids of runs with the new lines of their journals."""


@dataclass
class ViewChange:
    """What changed in a run since the last poll."""

    view: RunView
    """A copy that the thread does not modify any more; `steps` holds the new rows, or all rows if `fresh`."""
    fresh: bool


@dataclass
class Snapshot:
    """The result of one poll. `None` means unchanged."""

    run_id: str | None
    rows: list[RunSummary] | None = None
    change: ViewChange | None = None
    evaluations: list[EvaluationFile] | None = None
    """Of the selected run: the final evaluation, then the others of the split that is shown, newest first."""
    overlays: list[RunView] | None = None
    """The runs that are shown beside the selected one."""
    sweeps: list[SweepView] | None = None
    """All sweeps, newest first."""
    journal_lines: JournalLines = field(default_factory=list)
    """New lines in the journals of other runs."""
    error: str | None = None
    """Why the runs can't be listed or read, in one line."""

    @property
    def has_changes(self) -> bool:
        """Whether anything changed."""
        return bool(self.journal_lines) or any(
            part is not None for part in (self.rows, self.change, self.overlays, self.sweeps, self.error)
        )
