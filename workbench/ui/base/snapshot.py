"""What one look of the monitor found: what passes from its thread to the screen."""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.runs.journal import JournalLine
from workbench.runs.metrics import EvaluationFile
from workbench.runs.reader import RunView
from workbench.runs.store import RunSummary

JournalLines = list[tuple[str, list[JournalLine]]]
"""Ids of runs with the new lines of their journals."""


@dataclass
class ViewChange:
    """What changed in a run since the last look."""

    view: RunView
    """A copy that the thread does not touch any more; `steps` are only the new ones, or all of them where `fresh`."""
    fresh: bool


@dataclass
class Snapshot:
    """What one look found. `None` stands for what is as it was."""

    run_id: str | None
    rows: list[RunSummary] | None = None
    change: ViewChange | None = None
    evaluations: list[EvaluationFile] | None = None
    """Of the selected run, newest first: the result, then the others of the split that is shown."""
    journal_lines: JournalLines = field(default_factory=list)
    """New lines in the journals of other runs."""
    complaint: str | None = None
    """Why the runs can't be listed."""

    @property
    def says_something(self) -> bool:
        """Whether anything is new."""
        return bool(self.journal_lines) or any(
            part is not None for part in (self.rows, self.change, self.complaint)
        )
