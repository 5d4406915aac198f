"""Writing to a full disk is retried until a stop request or the timeout. The errors are real (`/dev/full`)."""

from __future__ import annotations

import errno
import signal
import time
from pathlib import Path

import pytest

from tests.worker.support import make_run, notices, open_attempt
from workbench.runs.enums import Cause, Phase
from workbench.runs.jsonl import LineWriter, read_lines
from workbench.runs.metrics import MetricLine, StepRow
from workbench.runs.requests import signal_stop_reason
from workbench.worker import disk_space
from workbench.worker.context import Context, make_context
from workbench.worker.requests import Stop


@pytest.fixture
def context(home: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr(disk_space, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(disk_space, "POLL_SECONDS", 0.001)
    folder = make_run(home, {})
    context = make_context(folder, open_attempt(folder), time.monotonic())
    context.disk_space.timeout = 60.0
    context.heartbeat.beat()
    return context


def test_a_write_is_retried_until_there_is_free_space(context: Context, tmp_path: Path) -> None:
    full, metrics = LineWriter(Path("/dev/full")), LineWriter(tmp_path / "metrics.jsonl")
    tries = iter([full, full, metrics])
    context.disk_space.retry(lambda: next(tries).write(StepRow(step=1)))
    assert read_lines(tmp_path / "metrics.jsonl", MetricLine) == [StepRow(step=1)]
    assert [notice.text for notice in notices(context.folder)] == ["waited 0s for free disk space"]
    assert context.heartbeat.phase is Phase.LOADING


def test_the_heartbeat_shows_the_wait_until_the_timeout(context: Context) -> None:
    def look() -> bool:
        return context.heartbeat.phase is Phase.WAITING_FOR_SPACE

    seen: list[bool] = []
    context.requests.stop_requested = lambda: seen.append(look()) or False  # type: ignore[method-assign, func-returns-value]
    full = LineWriter(Path("/dev/full"))
    context.disk_space.timeout = 0.05
    with pytest.raises(
        Stop,
        match=r"the disk stayed full for .*: the disk of .*/runs is full; resume once there is free space",
    ) as end:
        context.disk_space.retry(lambda: full.write(StepRow(step=1)))
    assert end.value.reason.cause is Cause.DISK_FULL
    assert seen
    assert all(seen)


def test_a_stop_request_ends_the_wait(context: Context) -> None:
    full = LineWriter(Path("/dev/full"))
    context.requests.stop = signal_stop_reason(signal.SIGTERM)
    with pytest.raises(Stop, match="stopped by SIGTERM while the disk was full") as end:
        context.disk_space.retry(lambda: full.write(StepRow(step=1)))
    assert end.value.reason.cause is Cause.SIGNAL


def test_other_errors_and_a_zero_timeout_raise_at_once(context: Context) -> None:
    full = LineWriter(Path("/dev/full"))

    def gone() -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        context.disk_space.retry(gone)
    context.disk_space.timeout = 0.0
    with pytest.raises(OSError, match="No space left"):
        context.disk_space.retry(lambda: full.write(StepRow(step=1)))
