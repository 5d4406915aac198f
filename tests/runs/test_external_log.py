"""Logs of other programs as runs: read from where they are, listed, kept in the index, removed and restored."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path

import pytest

from workbench.core.errors import UserError
from workbench.launcher import launch
from workbench.logs.logged_runs import find_logged_runs
from workbench.runs import locks, log_digests
from workbench.runs.external_log import create_external_run, external_log
from workbench.runs.opened_logs import OpenedLogs
from workbench.runs.reader import RunReader
from workbench.runs.records import Seconds
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.scores import Score
from workbench.runs.status import Status, may_be_live, status_of
from workbench.runs.store import INDEX_FILE, RunSummary, Store

OLD = 1e9


def add(path: Path) -> RunFolder:
    (run,) = find_logged_runs(path)
    return create_external_run(Store.default().root, external_log(run))


def append(path: Path, *rows: tuple[float, float]) -> None:
    with path.open("a") as file:
        file.writelines(f"{step},{value}\n" for step, value in rows)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "logs" / "lr1.csv"
    path.parent.mkdir()
    path.write_text("step,val_accuracy\n")
    append(path, (1, 0.5), (2, 0.75))
    return path


def only_row(store: Store | None = None) -> RunSummary:
    (row,) = (store or Store.default()).list_runs()
    return row


def test_a_log_is_listed_with_its_newest_value_and_is_not_copied(table: Path) -> None:
    folder = add(table)
    row = only_row()
    assert (row.name, row.status, row.format, row.logs) == ("lr1", Status.LOG, "csv", (str(table),))
    assert (row.step, row.best_score) == (2, Score("validation", "accuracy", 0.75))
    assert not any("0.75" in path.read_text() for path in folder.path.rglob("*.json*"))


def test_its_duration_is_the_time_from_its_first_value_to_its_newest(table: Path) -> None:
    path = table.with_name("lr2.csv")
    path.write_text("timestamp,step,loss\n1700000000,1,0.5\n1700000090,2,0.25\n")
    folder, store = add(path), Store.default()
    assert (only_row(store).seconds, only_row(store).created) == (90.0, 1.7e9)
    with path.open("a") as file:
        file.write("1700000100,3,0.125\n")
    assert only_row(store).seconds == 100.0  # the first value is known, although it is not kept
    assert read_report(folder).seconds == Seconds(total=100.0)
    add(table)
    assert {row.name: row.seconds for row in store.list_runs()} == {"lr1": 0.0, "lr2": 100.0}


def test_a_log_is_read_while_it_grows_and_after_it_was_rewritten(table: Path) -> None:
    store, reader = Store.default(), RunReader(add(table))
    assert list(reader.read_all().logged["val_accuracy"].values) == [0.5, 0.75]
    only_row(store)
    append(table, (3, 0.875))
    view = reader.read_all()
    assert (list(view.logged["val_accuracy"].values), view.logged_step) == ([0.5, 0.75, 0.875], 3)
    row = only_row(store)
    assert (row.step, row.logged) == (3, Score("validation", "accuracy", 0.875))
    table.write_text("step,loss\n1,4\n")
    reader.read_all()
    assert list(reader.read_all().logged) == ["loss"]
    assert reader.view.logged_step == 1


def test_the_index_keeps_a_log_that_is_at_rest_until_it_changes(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(table, (OLD, OLD))
    add(table)
    only_row()
    assert "lr1.csv" in (Store.default().root / INDEX_FILE).read_text()
    with monkeypatch.context() as patch:
        patch.setattr(log_digests.LogDigests, "of_external", None)  # a call would fail
        assert only_row().step == 2
    append(table, (9, 0.5))
    assert only_row().step == 9


def test_a_log_that_is_written_now_is_not_in_the_index(table: Path) -> None:
    add(table)
    only_row()
    index = Store.default().root / INDEX_FILE
    assert not index.exists() or "lr1.csv" not in index.read_text()


def test_long_logs_are_listed_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("step,loss\n")
    append(path, *((step, 1 / (step + 1)) for step in range(300_000)))
    add(path)
    store = Store.default()
    (row,) = store.list_runs(0.0)
    assert row.name == "long" and row.step < 299_999
    while store.has_unread_logs:
        (row,) = store.list_runs(0.02)
    assert row.step == 299_999


def test_what_a_log_has_in_memory_for_the_list_does_not_grow(table: Path) -> None:
    store = Store.default()
    folder = add(table)
    for step in range(3, 30):
        append(table, (step, 0.5))
        store.list_runs()
    series = store._digests._readings[folder.id].logs.series["val_accuracy"]
    assert len(series) == 1 and series.steps[-1] == 29


def test_removing_and_restoring_leave_the_log_alone(table: Path) -> None:
    content = table.read_bytes()
    folder = add(table)
    store = Store.default()
    assert store.remove(folder) is not None
    assert store.list_runs() == [] and table.read_bytes() == content
    store.restore("lr1")
    assert only_row().step == 2
    store.remove(folder, now=True)
    assert table.read_bytes() == content and store.list_runs() == []


def test_a_log_that_is_gone_says_so_and_can_be_removed(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = add(table)
    table.unlink()
    row = only_row()
    assert row.status is Status.UNKNOWN and str(table) in row.reason and "missing" in row.reason
    assert read_report(folder).reason == row.reason
    assert not may_be_live(folder)
    with monkeypatch.context() as patch:

        def no_locks(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        patch.setattr(locks, "holder_pid", no_locks)
        assert not may_be_live(folder)
    Store.default().remove(folder)
    assert Store.default().list_runs() == []


def test_nothing_acts_on_a_log(table: Path) -> None:
    folder = add(table)
    assert status_of(folder) is Status.LOG
    refused = pytest.raises(UserError, match="is a log of another program, which can only be read")
    with refused:
        launch.stop_run(folder)
    with refused:
        launch.resume_run(folder, {}, "test")


def test_opened_logs_stand_beside_the_runs_and_leave_nothing(table: Path, tmp_path: Path) -> None:
    added = add(table)
    other = tmp_path / "other"
    for name, time in (("old", OLD), ("new", OLD + 1)):
        (other / name).mkdir(parents=True)
        (other / name / "log.csv").write_text("step,loss\n1,2\n")
        os.utime(other / name / "log.csv", (time, time))
    opened = OpenedLogs([other])
    store = Store(Store.default().root, opened)
    rows = store.list_runs()
    assert [row.name for row in rows] == ["new", "old", "lr1"], "the newest first"
    assert [row.opened for row in rows] == [True, True, False]
    with pytest.raises(UserError, match="not in the list of runs"):
        store.remove(store.folder(rows[0].id))
    assert read_report(store.folder(rows[0].id)).run == str(other / "new" / "log.csv")
    assert [row.name for row in Store.default().list_runs()] == ["lr1"]
    opened.close()
    assert not opened.root.exists() and (other / "new" / "log.csv").exists()
    assert added.path.exists()


def test_runs_that_appear_in_an_opened_folder_are_found(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = OpenedLogs([table.parent])
    store = Store(Store.default().root, opened)
    assert len(store.list_runs()) == 1
    (table.parent / "lr2.csv").write_text("step,loss\n1,2\n")
    monkeypatch.setattr(opened, "_search_due", -math.inf)
    assert [row.name for row in store.list_runs()] == ["lr2", "lr1"]
    opened.close()
