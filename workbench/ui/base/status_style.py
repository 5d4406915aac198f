"""How a run's status is shown: a mark that reads without colour, and a colour."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.runs.enums import Phase
from workbench.runs.status import Status
from workbench.runs.store import RunSummary

MUTED = "$foreground-muted"
"""Of what is there to be found, not to be read."""

MARKS: dict[Status, tuple[str, str]] = {
    Status.QUEUED: ("◌", MUTED),
    Status.STARTING: ("◌", "$primary"),
    Status.RUNNING: ("●", "$primary"),
    Status.FINISHED: ("✓", "$success"),
    Status.STOPPED: ("■", "$warning"),
    Status.FAILED: ("✗", "$error"),
    Status.LOST: ("✗", "$error"),
    Status.UNKNOWN: ("?", "$warning"),
}
PAUSED = ("‖", "$warning")


def mark_of(status: Status, phase: Phase | None = None) -> tuple[str, str]:
    """The mark and the style of a run."""
    return PAUSED if status.live and phase is Phase.PAUSED else MARKS[status]


def called(row: RunSummary, rows: Iterable[RunSummary]) -> str:
    """A run's name; where others of `rows` bear it too, with the end of its id."""
    alone = all(other.name != row.name or other.id == row.id for other in rows)
    return row.name if alone else f"{row.name} …{row.id[-4:]}"
