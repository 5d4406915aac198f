from __future__ import annotations

import pytest

from workbench.console import Follower
from workbench.runs.layout import RunFolder
from workbench.runs.reader import RunView
from workbench.runs.records import Journal, LineWriter, read_lines
from workbench.runs.status import Status


def test_whoever_waits_hears_what_this_attempt_has_to_say(
    digits_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(digits_run.journal)
    journal.note("notice", attempt=0, text="of long ago")
    journal.note("notice", attempt=1, text="checkpoint passed over: \x1b[31mstep-9.pt")
    journal.close()
    assert Follower(digits_run).follow() is Status.FINISHED
    said = capsys.readouterr().err
    assert "  checkpoint passed over: \ufffd[31mstep-9.pt\n" in said
    assert "long ago" not in said


def test_a_resume_tells_its_own_epochs_and_no_result_twice(
    digits_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for row in read_lines(digits_run.metrics) if row["kind"] == "evaluation"]
    began = rows[-1]["wall"]["time"] + 1
    measured = {**rows[-1], "epoch": 7, "final": False, "weights_epoch": 7, "wall": {"time": began}}
    writer = LineWriter(digits_run.metrics)
    for row in (measured, {**measured, "final": True}, {**measured, "weights_epoch": 5}):
        writer.write(row)
    writer.close()
    assert Follower(digits_run, began).follow() is Status.FINISHED
    said = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[1] for line in said] == ["epoch 7/6", "result of epoch 5"]


def test_of_a_record_that_is_begun_anew_only_what_is_new_is_told(
    digits_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a resume does it under the eyes of somebody: what it keeps, and the first new row, in one look."""
    view, follower = RunView(digits_run), Follower(digits_run)
    rows = [{"epoch": n, "split": "test", "loss": n, "wall": {"time": n}} for n in (1, 2, 3)]
    view.evaluations = rows[:]
    follower._tell_evaluations(view)
    view.evaluations = [*rows[:2], {**rows[2], "loss": 9, "wall": {"time": 8}}]
    follower._tell_evaluations(view)
    view.evaluations = [rows[0]]
    follower._tell_evaluations(view)
    said = capsys.readouterr().err
    assert [line.split()[-1] for line in said.splitlines()] == ["1.0000", "2.0000", "3.0000", "9.0000"]
