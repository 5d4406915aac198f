from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from workbench.io.record_codec import write_record
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status
from workbench.runs.store import Store
from workbench.ui.app import WorkbenchApp
from workbench.ui.runs.status_line import StatusLine
from workbench.ui.services import last_visit
from workbench.ui.services.last_visit import LastVisit, RunAtVisit

MakeRun = Callable[..., RunFolder]
HOUR = 3600.0


def told(before: LastVisit | None, now: float = 6 * HOUR) -> str:
    return last_visit.sum_up(before, Store.default().rows(), Store.default(), now)


def visit(runs: dict[str, RunAtVisit] | None = None) -> LastVisit:
    return LastVisit(time=0.0, runs=runs or {})


def test_epochs_resumes_and_failures_are_summed_up(make_run: MakeRun) -> None:
    one = make_run("lr3e-2", done=14, epochs=60, status=None, attempt=2)
    other = make_run("lr1", done=3, status="failed")
    before = visit({run.id: RunAtVisit(epoch=epoch, status=Status.RUNNING, attempt=1)
                    for run, epoch in ((one, 5), (other, 3))})  # fmt: skip
    assert told(before) == "away 6h00: +9 epochs, 1 resume, lr1 failed, lr3e-2 lost, best .900 of lr1"


def test_what_ended_before_is_not_told_again(make_run: MakeRun) -> None:
    make_run("old", status="failed")
    last_visit.remember(Store.default().rows(), Store.default(), now=1.0)
    assert told(last_visit.recall(Store.default())) == "away 5h59: nothing new"


def test_a_run_that_nobody_saw_begin_counts(make_run: MakeRun) -> None:
    make_run("new", done=1, epochs=1)
    assert told(visit()) == "away 6h00: +1 epoch, new finished, best .900 of new"


def test_the_best_that_was_reached_meanwhile_is_told(make_run: MakeRun) -> None:
    runs = {name: make_run(name, accuracy=best, status=None) for name, best in (("a", 0.5), ("b", 0.7))}
    lost = RunAtVisit(epoch=2, status=Status.LOST, attempt=1, best=0.4)
    before = {run.id: lost for run in runs.values()}
    assert told(visit(before)) == "away 6h00: best .700 of b"
    before[runs["b"].id] = msgspec.structs.replace(lost, best=0.7)
    assert told(visit(before)) == "away 6h00: best .500 of a"


def test_many_endings_are_counted(make_run: MakeRun) -> None:
    for number in range(5):
        make_run(f"r{number}", done=0)
    assert "2 more ended" in told(visit())


def test_a_minute_away_needs_no_words(make_run: MakeRun) -> None:
    make_run("new")
    assert told(visit(), now=30.0) == ""
    assert told(None) == ""


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"time": "x", "runs": {}}', '{"time": 1, "runs": []}', "\0"]
)
def test_a_spoilt_record_counts_as_none(content: str, home: Path) -> None:
    home.mkdir()
    (home / last_visit.FILE).write_text(content)
    assert last_visit.recall(Store.default()) is None


def test_spoilt_entries_count_as_unknown_and_the_others_are_kept(make_run: MakeRun, home: Path) -> None:
    spoilt, kept = make_run("new", done=1, epochs=1), make_run("kept", done=2, epochs=2)
    last_visit.remember(Store.default().rows(), Store.default(), now=1.0)
    file = home / last_visit.FILE
    content = json.loads(file.read_text())
    content["runs"][spoilt.id] = "nonsense"
    file.write_text(json.dumps(content))
    before = last_visit.recall(Store.default())
    assert before is not None and set(before.runs) == {kept.id}
    assert told(before) == "away 5h59: +1 epoch, new finished, best .900 of new"


def test_a_home_that_cannot_be_written_is_no_reason_to_fail(make_run: MakeRun, home: Path) -> None:
    make_run()
    (home / last_visit.FILE).mkdir()
    last_visit.remember(Store.default().rows(), Store.default())


async def test_the_top_line_tells_it_and_leaving_writes_it_down(make_run: MakeRun, home: Path) -> None:
    run = make_run("night", done=4)
    write_record(home / last_visit.FILE, LastVisit(time=1.0, runs={}))
    app = WorkbenchApp()
    async with app.run_test(size=(160, 36)) as pilot:
        await pilot.pause()
        assert "+4 epochs, night finished" in app.query_one(StatusLine).text
        await pilot.press("q")
    before = last_visit.recall(Store.default())
    assert before is not None and before.time > 1.0
    assert before.runs[run.id] == RunAtVisit(epoch=4, status=Status.FINISHED, attempt=1, best=0.9)
