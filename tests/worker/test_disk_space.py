"""What the disk has no room for is tried again, until somebody or the clock says enough. The errors are real ones."""

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
from workbench.runs.requests import stopped_by
from workbench.worker import disk_space
from workbench.worker.context import Context, context_of
from workbench.worker.requests import Stop


@pytest.fixture
def context(home: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr(disk_space, "TRY_SECONDS", 0.01)
    monkeypatch.setattr(disk_space, "LOOK_SECONDS", 0.001)
    folder = make_run(home, {})
    context = context_of(folder, open_attempt(folder), time.monotonic())
    context.room.seconds = 60.0
    context.heartbeat.beat()
    return context


def test_a_line_is_written_once_there_is_room(context: Context, tmp_path: Path) -> None:
    full, metrics = LineWriter(Path("/dev/full")), LineWriter(tmp_path / "metrics.jsonl")
    tries = iter([full, full, metrics])
    context.room.keep_trying(lambda: next(tries).write(StepRow(step=1)))
    assert read_lines(tmp_path / "metrics.jsonl", MetricLine) == [StepRow(step=1)]
    assert [notice.text for notice in notices(context.folder)] == ["waited 0s for room on the disk"]
    assert context.heartbeat.phase is Phase.LOADING


def test_the_heartbeat_tells_of_it(context: Context) -> None:
    def look() -> bool:
        return context.heartbeat.phase is Phase.WAITING_FOR_SPACE

    seen: list[bool] = []
    context.requests.stopped = lambda: seen.append(look()) or False  # type: ignore[method-assign, func-returns-value]
    full = LineWriter(Path("/dev/full"))
    context.room.seconds = 0.05
    with pytest.raises(
        Stop, match=r"no room for .*: the disk of .*/runs is full; resume once there is some"
    ) as end:
        context.room.keep_trying(lambda: full.write(StepRow(step=1)))
    assert end.value.reason.cause is Cause.DISK_FULL
    assert seen
    assert all(seen)


def test_a_stop_is_obeyed_meanwhile(context: Context) -> None:
    full = LineWriter(Path("/dev/full"))
    context.requests.stop = stopped_by(signal.SIGTERM)
    with pytest.raises(Stop, match="stopped by SIGTERM while there was no room") as end:
        context.room.keep_trying(lambda: full.write(StepRow(step=1)))
    assert end.value.reason.cause is Cause.SIGNAL


def test_without_patience_and_for_other_errors_it_passes_the_error_on(context: Context) -> None:
    full = LineWriter(Path("/dev/full"))

    def gone() -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        context.room.keep_trying(gone)
    context.room.seconds = 0.0
    with pytest.raises(OSError, match="No space left"):
        context.room.keep_trying(lambda: full.write(StepRow(step=1)))
