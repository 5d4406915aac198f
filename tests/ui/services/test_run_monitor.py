from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from workbench.runs.jsonl import LineWriter, keep_until
from workbench.runs.metrics import EvaluationRow, StepRow
from workbench.runs.reader import MetricColumns, RunReader, RunView
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status
from workbench.runs.store import Store
from workbench.ui.base.snapshot import Snapshot
from workbench.ui.services.run_monitor import Mirror, Monitor, append

MakeRun = Callable[..., RunFolder]
Writers = dict[str, Callable[..., None]]


def looking_at(folder: RunFolder) -> tuple[Monitor, Mirror]:
    monitor = Monitor(Store.default(), lambda snapshot: None)
    monitor.select(folder.id)
    return monitor, Mirror(folder.id, Store.default())


def test_the_first_look_finds_the_runs_and_the_next_says_nothing(make_run: MakeRun) -> None:
    make_run("one")
    make_run("two")
    monitor = Monitor(Store.default(), lambda snapshot: None)
    first = monitor.look()
    assert [row.name for row in first.rows or []] == ["two", "one"]
    monitor.look_now()
    assert monitor.look() == Snapshot(None)


def test_a_mirror_becomes_what_the_reader_reads(make_run: MakeRun, write_run: Writers) -> None:
    folder = make_run(status=None, done=2)
    monitor, mirror = looking_at(folder)
    change = monitor.look().change
    assert change is not None
    mirror.take(change)
    steps = mirror.view.steps
    write_run["train"](folder, range(3, 5))
    write_run["end"](folder, "finished")
    later = monitor.look().change
    assert later is not None and len(later.view.steps) == 20, "only what is new travels"
    mirror.take(later)
    whole = RunReader(folder).read_all()
    assert mirror.view.steps is steps, "panes keep what they computed of the same columns"
    assert mirror.view.steps == whole.steps
    for part in fields(RunView):
        if part.name != "version":  # of the reader: how often it found something new
            assert getattr(mirror.view, part.name) == getattr(whole, part.name), part.name
    assert mirror.view.status is Status.FINISHED


def test_what_panes_see_never_moves_while_the_thread_reads(make_run: MakeRun, write_run: Writers) -> None:
    folder = make_run(status=None, done=1)
    monitor, mirror = looking_at(folder)
    change = monitor.look().change
    assert change is not None
    view = mirror.take(change)
    before = (len(view.steps), len(view.evaluations), len(view.journal))
    write_run["train"](folder, range(2, 4))
    monitor.look()
    assert (len(view.steps), len(view.evaluations), len(view.journal)) == before


def test_a_resume_from_an_older_checkpoint_starts_the_curve_afresh(make_run: MakeRun) -> None:
    folder = make_run(status=None, done=3)
    monitor, mirror = looking_at(folder)
    change = monitor.look().change
    assert change is not None
    mirror.take(change)
    offset = sum(len(line) for line in folder.metrics.read_bytes().splitlines(keepends=True)[:5])
    keep_until(folder.metrics, offset)
    change = monitor.look().change
    assert change is not None and change.fresh
    assert list(mirror.take(change).steps.step) == [1, 2, 3, 4, 5]


def test_evaluations_come_newest_first_the_result_before_all(make_run: MakeRun, write_run: Writers) -> None:
    folder = make_run(status=None, done=3)
    monitor, _ = looking_at(folder)
    found = monitor.look().evaluations
    assert found is not None
    assert [record.epoch for record in found] == [3, 2, 1]
    metrics = LineWriter(folder.metrics)
    row = EvaluationRow(step=30, epoch=3, split="test", loss=0.1, accuracy=0.8, final=True)
    metrics.write(row)
    metrics.close()
    write_run["evaluation"](folder, row)
    found = monitor.look().evaluations
    assert found is not None
    assert [(record.split, record.epoch) for record in found] == [
        ("test", 3), ("validation", 3), ("validation", 2), ("validation", 1),
    ]  # fmt: skip


def test_figures_that_come_late_or_stay_away_are_nan() -> None:
    columns = MetricColumns()
    columns.add(StepRow(step=1, loss=2.0))
    tail = MetricColumns()
    tail.add(StepRow(step=2, accuracy=0.5))
    append(columns, tail)
    assert list(columns.step) == [1, 2]
    loss, accuracy = columns.column("loss"), columns.column("accuracy")
    assert loss[0] == 2.0 and loss[1] != loss[1]
    assert accuracy[0] != accuracy[0] and accuracy[1] == 0.5


def test_a_folder_that_cannot_be_listed_is_named(home: Path) -> None:
    home.mkdir()
    (home / "runs").write_text("no folder")
    snapshot = Monitor(Store.default(), lambda snapshot: None).look()
    assert str(home / "runs") in (snapshot.complaint or "")


@pytest.mark.usefixtures("home")
def test_the_thread_waits_until_a_snapshot_is_taken(make_run: MakeRun, write_run: Writers) -> None:
    folder = make_run(status=None, done=1)
    came = threading.Semaphore(0)
    found: list[Snapshot] = []

    def deliver(snapshot: Snapshot) -> None:
        found.append(snapshot)
        came.release()

    monitor = Monitor(Store.default(), deliver)
    monitor.select(folder.id)
    monitor.start()
    assert came.acquire(timeout=10)
    write_run["train"](folder, range(2, 3))
    monitor.look_now()
    assert not came.acquire(timeout=1.0), "nothing more before the first is taken"
    monitor.taken()
    assert came.acquire(timeout=10)
    assert len(found) == 2 and found[1].change is not None and len(found[1].change.view.steps) == 10
    monitor.stop()
    monitor._thread.join(5)
    assert not monitor._thread.is_alive()


def test_a_held_lock_makes_a_run_running(
    make_run: MakeRun, hold: Callable[[RunFolder], subprocess.Popen[str]]
) -> None:
    folder = make_run(status=None)
    process = hold(folder)
    monitor, mirror = looking_at(folder)
    change = monitor.look().change
    assert change is not None
    assert mirror.take(change).status is Status.RUNNING
    process.kill()
    process.wait()
    change = monitor.look().change
    assert change is not None, "a status can change though no file did"
    assert mirror.take(change).status is Status.LOST


def test_a_full_disk_is_told_while_a_run_goes_on(
    make_run: MakeRun, hold: Callable[[RunFolder], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("done")
    monitor = Monitor(Store.default(), lambda snapshot: None)
    monkeypatch.setattr("workbench.ui.services.run_monitor.LEAST_ROOM", 1 << 62)
    assert monitor.look().complaint is None
    hold(make_run("going", status=None))
    monitor.look_now()
    assert "runs wait until there is room" in str(monitor.look().complaint)
    monitor.look_now()
    assert monitor.look().complaint is None, "once is enough"
