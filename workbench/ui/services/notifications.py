"""What the monitor found that is worth a notice: who ended, what a worker answered, what it had to say."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from workbench.runs.enums import Cause, Outcome, Phase
from workbench.runs.journal import Answer, JournalLine, Notice
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.ui.base.status_style import called

SILENT = "WORKBENCH_BELL"
"""Set to `off`, the terminal's bell is not rung when a run ends."""

News = tuple[str, str]
"""A text and its severity."""


def endings(before: Mapping[str, RunSummary], rows: Sequence[RunSummary]) -> list[News]:
    """The runs that ended since `before`, and why."""
    found = []
    for row in rows:
        was = before.get(row.id)
        if was is None or was.status is row.status or row.status.live:
            continue
        found.append((f"{called(row, rows)} {_how(row)}", _severity(row)))
    return found


def _severity(row: RunSummary) -> str:
    """An end that somebody asked for is not a warning."""
    if row.status is Status.FINISHED or (row.status is Status.STOPPED and row.cause is Cause.REQUESTED):
        return "information"
    return "warning" if row.status is Status.STOPPED else "error"


def waiting(rows: Sequence[RunSummary], told: set[tuple[str, int]]) -> list[News]:
    """The runs that wait for room on the disk; each once at a step, which is then among those `told`.

    A run that waits tries again every few seconds, and looks as if it went on while it does.
    """
    found = []
    for row in rows:
        if row.status.live and row.phase is Phase.WAITING_FOR_SPACE and (row.id, row.step) not in told:
            told.add((row.id, row.step))
            found.append(
                (f"{called(row, rows)} waits for room on the disk, and goes on when there is some", "warning")
            )
    return found


def _how(row: RunSummary) -> str:
    """`finished`, `failed: the loss became NaN`, `stopped on request`."""
    if not row.reason or row.status is Status.FINISHED:
        return str(row.status)
    return row.reason if row.reason.startswith(str(row.status)) else f"{row.status}: {row.reason}"


def answers(name: str, lines: Iterable[JournalLine]) -> list[News]:
    """The answers and notices among new journal lines of the run `name`."""
    found = []
    for line in lines:
        if isinstance(line, Answer | Notice):
            done = isinstance(line, Answer) and line.outcome is Outcome.DONE
            found.append((f"{name}: {line.text}", "information" if done else "warning"))
    return found


def bell_is_wanted() -> bool:
    """Whether the environment lets the bell ring."""
    return os.environ.get(SILENT, "").lower() not in {"0", "off", "no"}
