"""What commands print and how they follow a run."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from workbench.cli import console
from workbench.cli.follow import Follower
from workbench.cli.progress_line import evaluation_line, progress_line
from workbench.config.experiment import build_experiment
from workbench.core.progress import Progress
from workbench.core.text import cell_width
from workbench.runs.enums import Phase
from workbench.runs.journal import Journal, Notice, PhaseChange
from workbench.runs.jsonl import LineWriter, read_lines
from workbench.runs.metrics import EpochRow, EvaluationRow, MetricLine, StepRow, Wall
from workbench.runs.reader import RunView
from workbench.runs.records import Heartbeat
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


def live_view(tmp_path: Path, **beat: Any) -> RunView:
    """A run of 10 epochs with 4 completed ones of 12.5 seconds each."""
    view = RunView(RunFolder(tmp_path), status=Status.RUNNING)
    view.experiment = build_experiment(
        "digits-mlp", sets=["train.epochs=10"], name="a-" + "long-" * 10 + "name"
    )
    view.journal = [PhaseChange(phase=Phase.TRAINING, attempt=1, time=1000.0)]
    values = {
        "phase": Phase.TRAINING,
        "epoch": 4,
        "epochs_total": 10,
        "step": 400,
        "steps_total": 1000,
        "eta": 75.0,
    }
    view.heartbeat = Heartbeat(**{**values, **beat})
    view.epochs = [
        EpochRow(step=100 * n, epoch=n, loss=1 / n, wall=Wall(time=1000 + 12.5 * n)) for n in range(1, 5)
    ]
    for n in range(1, 41):
        wall = Wall(samples_per_second=12_345)
        view.steps.add(StepRow(step=10 * n, epoch=n / 10, loss=0.25, lr=0.001, wall=wall))
    view.last_wall = wall
    return view


def test_the_progress_line_fits_the_terminal(tmp_path: Path) -> None:
    view = live_view(tmp_path)
    wide = progress_line(view, 200, 1060.0)
    for part in (
        "epoch 5/10",
        "step 400/1000",
        "loss 0.2500",
        "lr 0.001",
        "12s/epoch",
        "12.3k samples/s",
        "ETA 1m15",
    ):
        assert f"  {part}" in wide
    for width in range(8, 200):
        line = progress_line(view, width, 1060.0)
        assert cell_width(line) <= width
        assert width < 79 or all(
            part in line for part in ("loss 0.2500", "lr 0.001", "12s/epoch", "ETA 1m15")
        )
    for progress in (None, Progress("decoding images", 1234, 60000, "images")):
        loading = live_view(tmp_path, phase=Phase.LOADING, progress=progress)
        for width in range(8, 100):
            line = progress_line(loading, width, 1062.0)
            assert cell_width(line) <= width and line.endswith("  1m02"), "the clock is never cut off"


def test_the_line_of_an_epoch_has_its_loss_rate_time_and_the_eta(tmp_path: Path) -> None:
    row = EvaluationRow(step=400, epoch=4, split="validation", loss=0.5, accuracy=0.9, wall=Wall(time=1050))
    line = evaluation_line(live_view(tmp_path), row)
    assert line == (
        "epoch 4/10  validation  loss 0.5000  accuracy 0.9000  training loss 0.2500  lr 0.001  12s/epoch  ETA 1m15"
    )


def test_slow_preparations_are_plain_lines_in_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    follower = Follower(RunFolder(tmp_path))
    for progress in (Progress("importing PyTorch"), Progress("decoding images", 1, 9, "images")):
        for _ in range(4):
            follower._show_progress(live_view(tmp_path, phase=Phase.LOADING, progress=progress))
            now += 1
    follower._show_progress(live_view(tmp_path))
    assert capsys.readouterr().err == "  importing PyTorch\n  decoding images\n"
