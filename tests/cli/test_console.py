"""What commands print and how they follow a run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import pytest

from workbench.cli import console
from workbench.cli.follow import Follower
from workbench.runs.journal import Journal, Notice
from workbench.runs.jsonl import LineWriter, read_lines
from workbench.runs.metrics import EvaluationRow, MetricLine, Wall
from workbench.runs.reader import RunView
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status


def test_json_has_null_for_nonfinite_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    row = EvaluationRow(step=1, loss=math.nan, accuracy=math.inf)
    console.print_json([row, {"name": "caf\udce9", "value": -math.inf}])
    first, second = json.loads(capsys.readouterr().out)
    assert (first["loss"], first["accuracy"]) == (None, None)
    assert second == {"name": "caf?", "value": None}
    console.print_json(row)
    assert json.loads(capsys.readouterr().out)["loss"] is None


def test_a_follower_shows_notices_of_the_newest_attempt(
    digits_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(digits_run.journal)
    journal.append(Notice(attempt=0, text="of long ago"))
    journal.append(Notice(attempt=1, text="corrupt checkpoint skipped: \x1b[31mstep-9.pt"))
    journal.close()
    assert Follower(digits_run).follow() is Status.FINISHED
    shown = capsys.readouterr().err
    assert "  corrupt checkpoint skipped: \ufffd[31mstep-9.pt\n" in shown
    assert "long ago" not in shown


def test_a_resume_shows_its_own_epochs_and_no_result_twice(
    digits_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for row in read_lines(digits_run.metrics, MetricLine) if isinstance(row, EvaluationRow)]
    start = rows[-1].wall.time + 1
    row = msgspec.structs.replace(rows[-1], epoch=7, final=False, weights_epoch=7, wall=Wall(time=start))
    writer = LineWriter(digits_run.metrics)
    writer.write(row)
    writer.write(msgspec.structs.replace(row, final=True))
    writer.write(msgspec.structs.replace(row, weights_epoch=5))
    writer.close()
    assert Follower(digits_run, start).follow() is Status.FINISHED
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["epoch 7/6", "result of epoch 5"]


def evaluation(epoch: int, loss: float, time: float) -> EvaluationRow:
    return EvaluationRow(step=epoch * 10, epoch=epoch, split="test", loss=loss, wall=Wall(time=time))


def test_only_new_rows_of_a_rewritten_record_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A resume rewrites the file under a follower: rows that it keeps, and the first new one, arrive at once."""
    view, follower = RunView(RunFolder(tmp_path)), Follower(RunFolder(tmp_path))
    rows = [evaluation(n, loss=n, time=n) for n in (1, 2, 3)]
    view.evaluations = rows[:]
    follower._show_evaluations(view)
    view.evaluations = [*rows[:2], evaluation(3, loss=9, time=8)]
    follower._show_evaluations(view)
    view.evaluations = [rows[0]]
    follower._show_evaluations(view)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[-1] for line in lines] == ["1.0000", "2.0000", "3.0000", "9.0000"]


def test_a_result_of_nan_is_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    view, follower = RunView(RunFolder(tmp_path)), Follower(RunFolder(tmp_path))
    last = evaluation(1, loss=math.nan, time=1)
    view.evaluations = [last, msgspec.structs.replace(evaluation(1, math.nan, 2), final=True)]
    follower._show_evaluations(view)
    assert len(capsys.readouterr().err.splitlines()) == 1
