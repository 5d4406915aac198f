from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tests.ui.screen_steps import MakeRun, Until
from workbench.core import paths
from workbench.io.record_codec import write_record
from workbench.runs.opened_logs import OpenedLogs
from workbench.runs.status import Status
from workbench.runs.store import Store
from workbench.ui.app import WorkbenchApp
from workbench.ui.runs.status_line import StatusLine
from workbench.ui.services import last_visit
from workbench.ui.services.last_visit import LastVisit, RunAtVisit

HOUR = 3600.0


def summary(before: LastVisit | None, now: float = 6 * HOUR) -> str:
    return last_visit.summarize(before, Store.default().list_runs(), Store.default(), now)


def visit(runs: dict[str, RunAtVisit] | None = None) -> LastVisit:
    return LastVisit(time=0.0, runs=runs or {})


def test_epochs_resumes_and_failures_are_summarized(make_run: MakeRun) -> None:
    one = make_run("lr3e-2", done=14, epochs=60, status=None, attempt=2)
    other = make_run("lr1", done=3, status="failed")
    before = visit({run.id: RunAtVisit(epoch=epoch, status=Status.RUNNING, attempt=1)
                    for run, epoch in ((one, 5), (other, 3))})  # fmt: skip
    assert (
        summary(before) == "away 6h00: +9 epochs, 1 resume, lr1 failed, lr3e-2 crashed, best val .900 of lr1"
    )


def test_runs_that_ended_before_are_not_repeated(make_run: MakeRun) -> None:
    make_run("old", status="failed")
    last_visit.save(Store.default().list_runs(), Store.default(), now=1.0)
    assert summary(last_visit.load(Store.default())) == "away 5h59: nothing new"


def test_a_run_that_started_meanwhile_counts(make_run: MakeRun) -> None:
    make_run("new", done=1, epochs=1)
    assert summary(visit()) == "away 6h00: +1 epoch, new finished, best val .900 of new"


def test_the_best_metric_reached_meanwhile_is_named(make_run: MakeRun) -> None:
    runs = {name: make_run(name, accuracy=best, status=None) for name, best in (("a", 0.5), ("b", 0.7))}
    lost = RunAtVisit(epoch=2, status=Status.CRASHED, attempt=1, best=0.4)
    before = {run.id: lost for run in runs.values()}
    assert summary(visit(before)) == "away 6h00: best val .700 of b"
    before[runs["b"].id] = msgspec.structs.replace(lost, best=0.7)
    assert summary(visit(before)) == "away 6h00: best val .500 of a"


def test_many_endings_are_counted(make_run: MakeRun) -> None:
    for number in range(5):
        make_run(f"r{number}", done=0)
    assert "2 more ended" in summary(visit())


def test_logs_of_other_programs_that_are_new_do_not_count(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("new", done=1, epochs=1)
    (tmp_path / "metrics.csv").write_text("step,loss\n1,2\n")
    opened = OpenedLogs([tmp_path / "metrics.csv"])
    store = Store(paths.runs(), opened)
    rows = store.list_runs()
    assert {row.status for row in rows} == {Status.LOG, Status.FINISHED}
    assert (
        last_visit.summarize(visit(), rows, store, HOUR)
        == "away 1h00: +1 epoch, new finished, best val .900 of new"
    )
    opened.close()


def test_a_short_absence_is_not_summarized(make_run: MakeRun) -> None:
    make_run("new")
    assert summary(visit(), now=30.0) == ""
    assert summary(None) == ""


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"time": "x", "runs": {}}', '{"time": 1, "runs": []}', "\0"]
)
def test_a_corrupt_record_is_ignored(content: str, home: Path) -> None:
    home.mkdir()
    (home / last_visit.FILE_NAME).write_text(content)
    assert last_visit.load(Store.default()) is None


def test_corrupt_entries_are_ignored_one_by_one(make_run: MakeRun, home: Path) -> None:
    damaged, kept = make_run("new", done=1, epochs=1), make_run("kept", done=2, epochs=2)
    last_visit.save(Store.default().list_runs(), Store.default(), now=1.0)
    file = home / last_visit.FILE_NAME
    content = json.loads(file.read_text())
    content["runs"][damaged.id] = "nonsense"
    file.write_text(json.dumps(content))
    before = last_visit.load(Store.default())
    assert before is not None and set(before.runs) == {kept.id}
    assert summary(before) == "away 5h59: +1 epoch, new finished, best val .900 of new"


def test_a_read_only_home_is_not_an_error(make_run: MakeRun, home: Path) -> None:
    make_run()
    (home / last_visit.FILE_NAME).mkdir()
    last_visit.save(Store.default().list_runs(), Store.default())


async def test_the_status_line_shows_the_summary_and_quitting_saves_the_visit(
    make_run: MakeRun, home: Path, until: Until
) -> None:
    run = make_run("night", done=4)
    write_record(home / last_visit.FILE_NAME, LastVisit(time=1.0, runs={}))
    app = WorkbenchApp()
    async with app.run_test(size=(160, 36)) as pilot:
        await until(pilot, lambda: "+4 epochs, night finished" in app.query_one(StatusLine).text)
        await pilot.press("q")
    before = last_visit.load(Store.default())
    assert before is not None and before.time > 1.0
    assert before.runs[run.id] == RunAtVisit(epoch=4, status=Status.FINISHED, attempt=1, best=0.9)
