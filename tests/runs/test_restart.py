"""A run whose record is lost in part: it restarts only on request, and nothing more is lost by that."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_control import until
from tests.worker.support import make_run, notices, run_until
from workbench.cli.follow import wait_for_end
from workbench.config.experiment import build_experiment
from workbench.core.errors import UserError
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.runs.attempts import last_attempt_number
from workbench.runs.enums import Cause, RequestKind
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.jsonl import LineWriter
from workbench.runs.metrics import EpochRow
from workbench.runs.records import Exit, Heartbeat
from workbench.runs.restart import missing_checkpoints_error
from workbench.runs.run_folder import RunFolder, write_heartbeat
from workbench.runs.run_report import Change, read_report
from workbench.runs.status import Status, status_of


def stop(folder: RunFolder) -> None:
    """Stop a run once it has a checkpoint."""
    until(folder.manifest.exists, "a checkpoint")
    launch.send_request(folder, RequestKind.STOP)
    wait_for_end(folder)
    assert status_of(folder) is Status.STOPPED


@pytest.fixture
def stopped() -> RunFolder:
    """A run that was stopped in its first epochs, with a checkpoint."""
    folder = launch.start_run(
        build_experiment("digits-mlp", sets=["train.epochs=100000", "train.threads=1"]), "test"
    )
    stop(folder)
    return folder


@pytest.mark.parametrize("lose", [shutil.rmtree, lambda path: [file.unlink() for file in path.iterdir()]])
def test_a_run_without_its_checkpoints_restarts_only_on_request(
    stopped: RunFolder, lose: Callable[[Path], object]
) -> None:
    steps, recorded = read_report(stopped).step, stopped.metrics.read_bytes()
    lose(stopped.checkpoints)
    with pytest.raises(UserError, match=rf"\({steps} steps\) are missing: .* --from-start") as raised:
        launch.resume_run(stopped, {}, "test")
    assert "\n" not in str(raised.value)
    assert (stopped.metrics.read_bytes(), last_attempt_number(stopped)) == (recorded, 1)

    launch.resume_run(stopped, {}, "test", from_start=True)
    stop(stopped)
    assert (stopped.path / "before-1" / "metrics.jsonl").read_bytes() == recorded
    assert read_report(stopped).changes == (
        Change(0, "resumed"),
        Change(0, "restarted from step 0; the previous record is archived in before-1"),
    )


def test_a_run_without_its_journal_continues_as_the_next_attempt(stopped: RunFolder) -> None:
    stopped.journal.write_bytes(b"\x00garbage")
    assert last_attempt_number(stopped) == 1
    at = read_report(stopped).step
    launch.resume_run(stopped, {}, "test")
    until(lambda: (read_record(stopped.heartbeat, Heartbeat) or Heartbeat()).step > at, "more steps")
    launch.send_request(stopped, RequestKind.STOP)
    wait_for_end(stopped)
    ended = read_record(stopped.exit, Exit)
    assert ended is not None
    assert (ended.attempt, ended.cause, ended.reason) == (2, Cause.REQUESTED, "stopped on request")
    (attempt,) = attempts_of(read_journal(stopped.journal))
    assert (attempt.attempt, attempt.from_step) == (2, at)
    report = read_report(stopped)
    assert not report.exact
    assert "attempt 1 is missing in the journal" in report.changes[1].what


def test_a_run_killed_before_its_first_checkpoint_restarts_with_a_notice(home: Path) -> None:
    folder = make_run(home, {"epochs": 2})
    run_until(folder, 10)
    shutil.rmtree(folder.checkpoints)
    assert run_until(folder, 20).start.step == 0
    assert [notice.text for notice in notices(folder) if notice.from_step is not None] == [
        "interrupted before the first checkpoint; restarted from step 0"
    ]


def test_missing_checkpoints_are_detected(home: Path) -> None:
    def with_epochs(folder: RunFolder, epochs: int) -> RunFolder:
        writer = LineWriter(folder.metrics)
        for epoch in range(1, epochs + 1):
            writer.write(EpochRow(epoch=epoch, step=epoch * 41))
        writer.close()
        return folder

    assert missing_checkpoints_error(with_epochs(make_run(home, {}), 2)) is None
    assert "(123 steps)" in (missing_checkpoints_error(with_epochs(make_run(home, {}), 3)) or "")
    folder = make_run(home, {})
    write_heartbeat(folder, Heartbeat(attempt=1, step=7))
    assert missing_checkpoints_error(folder) is None
    write_heartbeat(folder, Heartbeat(attempt=1, step=7, checkpoint_saved_at=1e9))
    assert "(7 steps)" in (missing_checkpoints_error(folder) or "")
