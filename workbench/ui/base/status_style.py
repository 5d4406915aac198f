"""How the status of a run is shown: a mark that is readable without color, and a color; and its display name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from workbench.core.text import cell_width, sanitize, truncate
from workbench.runs.enums import Phase
from workbench.runs.lookup import id_suffix
from workbench.runs.status import Status
from workbench.runs.store import RunSummary

MUTED = "$foreground-muted"
"""The style of secondary text."""

MARKS: dict[Status, tuple[str, str]] = {
    Status.STARTING: ("◌", "$primary"),
    Status.RUNNING: ("●", "$primary"),
    Status.QUEUED: ("◦", "$secondary"),
    Status.FINISHED: ("✓", "$success"),
    Status.STOPPED: ("■", "$warning"),
    Status.FAILED: ("✗", "$error"),
    Status.CRASHED: ("✗", "$error"),
    Status.UNKNOWN: ("?", "$warning"),
    Status.LOG: ("◇", "$secondary"),
}
PAUSED = ("‖", "$warning")


def status_mark(status: Status, phase: Phase | None = None) -> tuple[str, str]:
    """The mark of a run and its style."""
    return PAUSED if status.live and phase is Phase.PAUSED else MARKS[status]


def display_name(row: RunSummary, rows: Iterable[RunSummary]) -> str:
    """The name of a run, with the end of its id if another run of `rows` has the same name."""
    unique = all(other.name != row.name or other.id == row.id for other in rows)
    return row.name if unique else f"{row.name} {id_suffix(row.id)}"


def shared_names(rows: Iterable[RunSummary]) -> frozenset[str]:
    """The names that more than one run has."""
    return frozenset(name for name, count in Counter(row.name for row in rows).items() if count > 1)


def fit_name(row: RunSummary, width: int, *, shared: bool = False) -> str:
    """The sanitized name in `width` cells; if it is `shared`, with the end of the id, which is not cut."""
    suffix = f" {id_suffix(row.id)}" if shared else ""
    return truncate(sanitize(row.name), max(1, width - cell_width(suffix))) + suffix
