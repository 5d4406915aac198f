from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from tests.ui.screen_steps import MakeRun
from workbench.runs.jsonl import LineWriter, replace_with_prefix
from workbench.runs.metrics import EvaluationRow, StepRow
from workbench.runs.reader import MetricColumns, RunReader, RunView
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status
from workbench.runs.store import Store
from workbench.ui.base.snapshot import Snapshot
from workbench.ui.services import run_list, run_monitor
from workbench.ui.services.run_monitor import RunMirror, RunMonitor, append_columns

Writers = dict[str, Callable[..., None]]


def monitoring(folder: RunFolder) -> tuple[RunMonitor, RunMirror]:
    monitor = RunMonitor(Store.default(), lambda snapshot: None)
    monitor.select(folder.id)
    return monitor, RunMirror(folder.id, Store.default())


def test_the_first_poll_lists_the_runs_and_the_next_has_no_changes(make_run: MakeRun) -> None:
    make_run("one")
    make_run("two")
    monitor = RunMonitor(Store.default(), lambda snapshot: None)
    first = monitor.poll()
    assert [row.name for row in first.rows or []] == ["two", "one"]
    monitor.poll_soon()
    assert monitor.poll() == Snapshot(None)


def test_the_mirror_equals_the_view_of_the_reader(make_run: MakeRun, write_run: Writers) -> None:
    folder = make_run(status=None, done=2)
    monitor, mirror = monitoring(folder)
    change = monitor.poll().change
    assert change is not None
    mirror.apply(change)
    steps = mirror.view.steps
    write_run["train"](folder, range(3, 5))
    write_run["end"](folder, "finished")
    later = monitor.poll().change
    assert later is not None and len(later.view.steps) == 20, "only what is new travels"
    mirror.apply(later)
    whole = RunReader(folder).read_all()
    assert mirror.view.steps is steps, "panes keep what they computed of the same columns"
    assert mirror.view.steps == whole.steps
    for part in fields(RunView):
        if part.name != "version":  # of the reader: how often it found something new
            assert getattr(mirror.view, part.name) == getattr(whole, part.name), part.name
    assert mirror.view.status is Status.FINISHED


def test_the_view_of_the_panes_does_not_change_while_the_thread_reads(
    make_run: MakeRun, write_run: Writers
) -> None:
    folder = make_run(status=None, done=1)
    monitor, mirror = monitoring(folder)
    change = monitor.poll().change
    assert change is not None
    view = mirror.apply(change)
    before = (len(view.steps), len(view.evaluations), len(view.journal))
    write_run["train"](folder, range(2, 4))
    monitor.poll()
    assert (len(view.steps), len(view.evaluations), len(view.journal)) == before


def test_a_resume_from_an_older_checkpoint_replaces_the_curve(make_run: MakeRun) -> None:
    folder = make_run(status=None, done=3)
    monitor, mirror = monitoring(folder)
    change = monitor.poll().change
    assert change is not None
    mirror.apply(change)
    offset = sum(len(line) for line in folder.metrics.read_bytes().splitlines(keepends=True)[:5])
    replace_with_prefix(folder.metrics, offset)
    change = monitor.poll().change
    assert change is not None and change.fresh
    assert list(mirror.apply(change).steps.step) == [1, 2, 3, 4, 5]


def test_the_final_evaluation_comes_first_then_the_newest(make_run: MakeRun, write_run: Writers) -> None:
    folder = make_run(status=None, done=3)
    monitor, _ = monitoring(folder)
    found = monitor.poll().evaluations
    assert found is not None
    assert [record.epoch for record in found] == [3, 2, 1]
    metrics = LineWriter(folder.metrics)
    row = EvaluationRow(step=30, epoch=3, split="test", loss=0.1, accuracy=0.8, final=True)
    metrics.write(row)
    metrics.close()
    write_run["evaluation"](folder, row)
    found = monitor.poll().evaluations
    assert found is not None
    assert [(record.split, record.epoch) for record in found] == [
        ("test", 3), ("validation", 3), ("validation", 2), ("validation", 1),
    ]  # fmt: skip


def test_metrics_that_start_late_or_are_missing_are_nan() -> None:
    columns = MetricColumns()
    columns.add(StepRow(step=1, loss=2.0))
    tail = MetricColumns()
    tail.add(StepRow(step=2, accuracy=0.5))
    append_columns(columns, tail)
    assert list(columns.step) == [1, 2]
    loss, accuracy = columns.column("loss"), columns.column("accuracy")
    assert loss[0] == 2.0 and loss[1] != loss[1]
    assert accuracy[0] != accuracy[0] and accuracy[1] == 0.5


def test_a_folder_that_cannot_be_listed_is_named(home: Path) -> None:
    home.mkdir()
    (home / "runs").write_text("no folder")
    snapshot = RunMonitor(Store.default(), lambda snapshot: None).poll()
    assert str(home / "runs") in (snapshot.error or "")


@pytest.mark.usefixtures("home")
def test_the_thread_waits_until_a_snapshot_is_acknowledged(make_run: MakeRun, write_run: Writers) -> None:
    folder = make_run(status=None, done=1)
    came = threading.Semaphore(0)
    found: list[Snapshot] = []

    def deliver(snapshot: Snapshot) -> None:
        found.append(snapshot)
        came.release()

    monitor = RunMonitor(Store.default(), deliver)
    monitor.select(folder.id)
    monitor.start()
    assert came.acquire(timeout=10)
    write_run["train"](folder, range(2, 3))
    monitor.poll_soon()
    assert not came.acquire(timeout=1.0), "nothing more before the first is taken"
    monitor.acknowledge()
    assert came.acquire(timeout=10)
    assert len(found) == 2 and found[1].change is not None and len(found[1].change.view.steps) == 10
    monitor.stop()
    monitor._thread.join(5)
    assert not monitor._thread.is_alive()


def test_a_run_with_a_held_lock_is_running(
    make_run: MakeRun, hold: Callable[[RunFolder], subprocess.Popen[str]]
) -> None:
    folder = make_run(status=None)
    process = hold(folder)
    monitor, mirror = monitoring(folder)
    change = monitor.poll().change
    assert change is not None
    assert mirror.apply(change).status is Status.RUNNING
    process.kill()
    process.wait()
    change = monitor.poll().change
    assert change is not None, "a status can change without any file"
    assert mirror.apply(change).status is Status.CRASHED


def test_the_list_follows_the_status_of_the_selected_run(
    make_run: MakeRun, hold: Callable[[RunFolder], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run that is resumed from another terminal, where so many runs are rarely listed."""
    for name in ("REST_FACTOR", "REST_FACTOR_WHEN_MODIFIED", "MAX_REST_SECONDS"):
        monkeypatch.setattr(run_list, name, 1e9)
    monkeypatch.setattr(run_monitor, "POLL_SECONDS", 0.0)
    folder = make_run()
    monitor, _ = monitoring(folder)
    for _ in range(3):
        monitor.poll()
    hold(folder)
    snapshot = monitor.poll()
    assert snapshot.change is not None and snapshot.change.view.status is Status.RUNNING
    assert [row.status for row in snapshot.rows or monitor.poll().rows or []] == [Status.RUNNING]


def test_a_full_disk_is_reported_once_while_a_run_is_live(
    make_run: MakeRun, hold: Callable[[RunFolder], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("done")
    monitor = RunMonitor(Store.default(), lambda snapshot: None)
    monkeypatch.setattr("workbench.ui.services.run_monitor.MIN_FREE_BYTES", 1 << 62)
    assert monitor.poll().error is None
    hold(make_run("going", status=None))
    monitor.poll_soon()
    assert "runs wait until space is free" in str(monitor.poll().error)
    monitor.poll_soon()
    assert monitor.poll().error is None, "reported once"
