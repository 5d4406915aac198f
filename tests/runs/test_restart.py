"""A run whose record is lost in part: it begins again only where it is told to, and nothing more is lost by that."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_control import until
from tests.worker.support import make_run, notices, run_until
from workbench.cli.follow import wait_for_end
from workbench.config.experiment import build
from workbench.core.errors import BadInput
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.runs.attempts import last_attempt
from workbench.runs.enums import Cause, RequestKind
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.jsonl import LineWriter
from workbench.runs.metrics import EpochRow
from workbench.runs.records import Exit, Heartbeat
from workbench.runs.restart import lost_checkpoints
from workbench.runs.run_folder import RunFolder, write_heartbeat
from workbench.runs.run_report import Change, report_of
from workbench.runs.status import Status, status_of


def stop(folder: RunFolder) -> None:
    """Stop a run once it has a checkpoint."""
    until(folder.manifest.exists, "a checkpoint")
    launch.ask(folder, RequestKind.STOP)
    wait_for_end(folder)
    assert status_of(folder) is Status.STOPPED


@pytest.fixture
def stopped() -> RunFolder:
    """A run that was stopped in its first epochs, with a checkpoint."""
    folder = launch.start(build("digits-mlp", sets=["train.epochs=100000", "train.threads=1"]), "test")
    stop(folder)
    return folder


@pytest.mark.parametrize("lose", [shutil.rmtree, lambda path: [file.unlink() for file in path.iterdir()]])
def test_a_run_without_its_checkpoints_begins_again_only_when_told_to(
    stopped: RunFolder, lose: Callable[[Path], object]
) -> None:
    steps, recorded = report_of(stopped).step, stopped.metrics.read_bytes()
    lose(stopped.checkpoints)
    with pytest.raises(BadInput, match=f"its checkpoints of {steps} steps are gone: .* --from-start") as said:
        launch.resume(stopped, {}, "test")
    assert "\n" not in str(said.value)
    assert (stopped.metrics.read_bytes(), last_attempt(stopped)) == (recorded, 1)

    launch.resume(stopped, {}, "test", from_start=True)
    stop(stopped)
    assert (stopped.path / "before-1" / "metrics.jsonl").read_bytes() == recorded
    assert report_of(stopped).changes == (
        Change(0, "resumed"),
        Change(0, "begun again at step 0; what was recorded before is kept in before-1"),
    )


def test_a_run_without_its_journal_goes_on_as_the_next_attempt(stopped: RunFolder) -> None:
    stopped.journal.write_bytes(b"\x00garbage")
    assert last_attempt(stopped) == 1
    at = report_of(stopped).step
    launch.resume(stopped, {}, "test")
    until(lambda: (read_record(stopped.heartbeat, Heartbeat) or Heartbeat()).step > at, "more steps")
    launch.ask(stopped, RequestKind.STOP)
    wait_for_end(stopped)
    ended = read_record(stopped.exit, Exit)
    assert ended is not None
    assert (ended.attempt, ended.cause, ended.reason) == (2, Cause.REQUESTED, "stopped on request")
    (attempt,) = attempts_of(read_journal(stopped.journal))
    assert (attempt.attempt, attempt.from_step) == (2, at)
    report = report_of(stopped)
    assert not report.exact
    assert "the journal lacks attempt 1" in report.changes[1].what


def test_a_run_cut_before_its_first_checkpoint_begins_again_and_says_so(home: Path) -> None:
    folder = make_run(home, {"epochs": 2})
    run_until(folder, 10)
    shutil.rmtree(folder.checkpoints)
    assert run_until(folder, 20).beginning.step == 0
    assert [notice.text for notice in notices(folder) if notice.from_step is not None] == [
        "cut before its first checkpoint: begun again at step 0"
    ]


def test_what_tells_of_checkpoints_that_are_gone(home: Path) -> None:
    def with_epochs(folder: RunFolder, epochs: int) -> RunFolder:
        writer = LineWriter(folder.metrics)
        for epoch in range(1, epochs + 1):
            writer.write(EpochRow(epoch=epoch, step=epoch * 41))
        writer.close()
        return folder

    assert lost_checkpoints(with_epochs(make_run(home, {}), 2)) is None
    assert "of 123 steps" in (lost_checkpoints(with_epochs(make_run(home, {}), 3)) or "")
    folder = make_run(home, {})
    write_heartbeat(folder, Heartbeat(attempt=1, step=7))
    assert lost_checkpoints(folder) is None
    write_heartbeat(folder, Heartbeat(attempt=1, step=7, saved=1e9))
    assert "of 7 steps" in (lost_checkpoints(folder) or "")
