"""The texts of notifications about runs that ended."""

from __future__ import annotations

import pytest

from workbench.runs.enums import Cause
from workbench.runs.requests import STOP_REQUESTED
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.ui.services.notifications import RunNotification, run_endings


@pytest.mark.parametrize(
    ("status", "cause", "reason", "expected"),
    [
        (Status.FINISHED, Cause.COMPLETED, "", RunNotification("run finished", "information")),
        (
            Status.STOPPED,
            Cause.REQUESTED,
            STOP_REQUESTED.text,
            RunNotification("run stopped on request", "information"),
        ),
        (
            Status.STOPPED,
            Cause.SIGNAL,
            "stopped by SIGTERM",
            RunNotification("run stopped by SIGTERM", "warning"),
        ),
        (
            Status.STOPPED,
            Cause.TAKEN_OVER,
            "stopped: attempt 3 took over this run",
            RunNotification("run stopped: attempt 3 took over this run", "warning"),
        ),
        (
            Status.STOPPED,
            Cause.DISK_FULL,
            "no space left",
            RunNotification("run stopped: no space left", "warning"),
        ),
        (
            Status.FAILED,
            Cause.CRASH,
            "the worker was killed by SIGKILL",
            RunNotification("run failed: the worker was killed by SIGKILL", "error"),
        ),
        (Status.CRASHED, None, "", RunNotification("run crashed", "error")),
    ],
)
def test_an_ended_run_is_named_with_its_reason(
    status: Status, cause: Cause | None, reason: str, expected: RunNotification
) -> None:
    before = {"1": RunSummary("1", "run", Status.RUNNING)}
    assert run_endings(before, [RunSummary("1", "run", status, reason=reason, cause=cause)]) == [expected]
