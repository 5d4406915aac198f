"""How the status of a run is shown: a mark that is readable without color, and a color; and its display name."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.runs.enums import Phase
from workbench.runs.status import Status
from workbench.runs.store import RunSummary

MUTED = "$foreground-muted"
"""The style of secondary text."""

MARKS: dict[Status, tuple[str, str]] = {
    Status.STARTING: ("◌", "$primary"),
    Status.RUNNING: ("●", "$primary"),
    Status.FINISHED: ("✓", "$success"),
    Status.STOPPED: ("■", "$warning"),
    Status.FAILED: ("✗", "$error"),
    Status.CRASHED: ("✗", "$error"),
    Status.UNKNOWN: ("?", "$warning"),
}
PAUSED = ("‖", "$warning")


def status_mark(status: Status, phase: Phase | None = None) -> tuple[str, str]:
    """The mark of a run and its style."""
    return PAUSED if status.live and phase is Phase.PAUSED else MARKS[status]


def display_name(row: RunSummary, rows: Iterable[RunSummary]) -> str:
    """The name of a run, with the end of its id if another run of `rows` has the same name."""
    unique = all(other.name != row.name or other.id == row.id for other in rows)
    return row.name if unique else f"{row.name} …{row.id[-4:]}"
