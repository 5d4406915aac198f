"""`train.hours`: the epochs that fit are found and recorded once, and the schedule ends with them."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path

import pytest

from tests.worker.support import changes, make_run, notices, outcome, run_until, same, step_rows
from workbench.runs.enums import ChangeCause
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report

SECONDS = 3.0
SETTINGS = {"hours": SECONDS / 3600, "schedule": "cosine", "epochs": 3}


def test_the_schedule_is_fitted_to_the_time(home: Path) -> None:
    folder = make_run(home, SETTINGS)
    start = time.monotonic()
    trainer = run_until(folder, None)
    assert 0.3 * SECONDS < time.monotonic() - start < 4 * SECONDS  # other processes use the same cores
    (change,) = changes(folder)
    assert (change.setting, change.step, change.cause) == ("train.epochs", 0, ChangeCause.TIME_LIMIT)
    assert isinstance(change.value, int) and trainer.state.epoch == change.value > 3
    last = step_rows(folder)[-1]
    assert last.lr < 1e-5 and math.isclose(last.epoch, change.value, rel_tol=0.01)
    assert "train.hours" in notices(folder)[0].text


@pytest.mark.parametrize("optimizer", ["adam", "nadam"])
def test_a_resumed_run_keeps_the_number_of_epochs(home: Path, optimizer: str) -> None:
    folder = make_run(home, {**SETTINGS, "hours": 0.5 / 3600, "optimizer": optimizer})
    run_until(folder, 50)
    copy = RunFolder(Path(shutil.copytree(folder.path, home / "copy" / folder.id)))
    run_until(folder, None)
    for step in (60, 100):
        run_until(copy, step)
    run_until(copy, None)
    assert same(outcome(copy), outcome(folder))
    assert len(changes(copy)) == 1 and read_report(copy).exact


@pytest.mark.parametrize("optimizer", ["adam", "nadam", "muon"])
def test_timing_changes_no_bit_of_the_training(home: Path, optimizer: str) -> None:
    timed = make_run(home, {**SETTINGS, "hours": 0.2 / 3600, "optimizer": optimizer, "log_every": 5})
    trainer = run_until(timed, None)
    plain = make_run(home, {**SETTINGS, "hours": 0.0, "epochs": trainer.state.epoch, "optimizer": optimizer,
                            "log_every": 5})  # fmt: skip
    run_until(plain, None)
    assert same(outcome(timed), outcome(plain))
