"""Notifications about runs: which ended, what a worker answered to a request, which wait for disk space."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from workbench.runs.enums import Cause, NodeEvent, Outcome, Phase
from workbench.runs.journal import AnsweredRequest, JournalLine, NodeChange, Notice
from workbench.runs.nodes import describe_node_change
from workbench.runs.scores import scores_text
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.ui.base.messages import Severity
from workbench.ui.base.status_style import display_name

BELL_VARIABLE = "WORKBENCH_BELL"
"""If this environment variable is `off`, the terminal bell does not ring when a run ends."""


class RunNotification(NamedTuple):
    """A text for the notification bar."""

    text: str
    severity: Severity


def run_endings(before: Mapping[str, RunSummary], rows: Sequence[RunSummary]) -> list[RunNotification]:
    """The runs that ended since `before` (by id), and why."""
    notifications = []
    for row in rows:
        known = before.get(row.id)
        if known is not None and known.status is not row.status and row.status.ended:
            text = f"{display_name(row, rows)} {_ending(row)}"
            notifications.append(RunNotification(text, _severity(row)))
    return notifications


def _severity(row: RunSummary) -> Severity:
    """A stop that was requested, by the user or by a sweep, is not a warning."""
    if row.status is Status.FINISHED:
        return "information"
    if row.status is Status.STOPPED and row.cause in {Cause.REQUESTED, Cause.PRUNED}:
        return "information"
    return "warning" if row.status is Status.STOPPED else "error"


def _ending(row: RunSummary) -> str:
    """`finished: test .904  best val .913@12`, `failed: the loss became NaN`, `stopped on request`."""
    if row.status is Status.FINISHED and row.scores and not row.reason:
        return f"{row.status}: {scores_text(row.scores)}"
    if not row.reason:
        return str(row.status)
    if row.cause is not None and row.cause.intended:  # such a reason names the status itself
        return row.reason
    return f"{row.status}: {row.reason}"


def disk_space_waits(rows: Sequence[RunSummary], notified: set[tuple[str, int]]) -> list[RunNotification]:
    """The runs that wait for disk space, each once per step; adds their ids and steps to `notified`.

    A waiting run tries again every few seconds, and reports that it trains while it does.
    """
    notifications = []
    for row in rows:
        if row.status.live and row.phase is Phase.WAITING_FOR_SPACE and (row.id, row.step) not in notified:
            notified.add((row.id, row.step))
            text = f"{display_name(row, rows)} waits for disk space; it continues when there is enough"
            notifications.append(RunNotification(text, "warning"))
    return notifications


def journal_notifications(name: str, lines: Iterable[JournalLine]) -> list[RunNotification]:
    """The answers and notices among new journal lines of the run `name`."""
    notifications = []
    for line in lines:
        if isinstance(line, AnsweredRequest | Notice):
            done = isinstance(line, AnsweredRequest) and line.outcome is Outcome.DONE
            text = f"{name}: {line.text}"
            notifications.append(RunNotification(text, "information" if done else "warning"))
        if isinstance(line, NodeChange):
            good = line.event in {NodeEvent.JOINED, NodeEvent.BACK}
            text = f"{name}: {describe_node_change(line)}"
            notifications.append(RunNotification(text, "information" if good else "warning"))
    return notifications


def bell_enabled() -> bool:
    """Whether the environment allows the bell."""
    return os.environ.get(BELL_VARIABLE, "").lower() not in {"0", "off", "no"}
