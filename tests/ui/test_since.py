from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.runs.layout import RunFolder
from workbench.runs.store import Store
from workbench.ui import since
from workbench.ui.app import WorkbenchApp
from workbench.ui.widgets.statusline import StatusLine

MakeRun = Callable[..., RunFolder]
HOUR = 3600.0


def told(before: dict[str, Any] | None, now: float = 6 * HOUR) -> str:
    return since.sum_up(before, Store.default().rows(), now)


def record(**runs: dict[str, Any]) -> dict[str, Any]:
    return {"v": 1, "time": 0.0, "runs": runs}


def test_epochs_resumes_and_failures_are_summed_up(make_run: MakeRun) -> None:
    one = make_run("lr3e-2", done=14, epochs=60, status=None, attempt=2)
    other = make_run("lr1", done=3, status="failed")
    before = record(**{one.id: {"epoch": 5, "status": "running", "attempt": 1},
                       other.id: {"epoch": 3, "status": "running", "attempt": 1}})  # fmt: skip
    assert told(before) == "away 6h00: +9 epochs, 1 resume, lr1 failed, lr3e-2 lost, best .900 of lr1"


def test_what_ended_before_is_not_told_again(make_run: MakeRun) -> None:
    make_run("old", status="failed")
    since.remember(Store.default().rows(), now=1.0)
    assert told(since.recall()) == "away 5h59: nothing new"


def test_a_run_that_nobody_saw_begin_counts(make_run: MakeRun) -> None:
    make_run("new", done=1, epochs=1)
    assert told(record()) == "away 6h00: +1 epoch, new finished, best .900 of new"


def test_the_best_that_was_reached_meanwhile_is_told(make_run: MakeRun) -> None:
    runs = {name: make_run(name, accuracy=best, status=None) for name, best in (("a", 0.5), ("b", 0.7))}
    before = {run.id: {"epoch": 2, "status": "lost", "attempt": 1, "best": 0.4} for run in runs.values()}
    assert told(record(**before)) == "away 6h00: best .700 of b"
    before[runs["b"].id]["best"] = 0.7
    assert told(record(**before)) == "away 6h00: best .500 of a"


def test_many_endings_are_counted(make_run: MakeRun) -> None:
    for number in range(5):
        make_run(f"r{number}", done=0)
    assert "2 more ended" in told(record())


def test_a_minute_away_needs_no_words(make_run: MakeRun) -> None:
    make_run("new")
    assert told(record(), now=30.0) == ""
    assert told(None) == ""


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"time": "x", "runs": {}}', '{"time": 1, "runs": []}', "\0"]
)
def test_a_spoilt_record_counts_as_none(content: str, home: Path) -> None:
    home.mkdir()
    (home / since.FILE).write_text(content)
    assert since.recall() is None


def test_spoilt_entries_count_as_unknown(make_run: MakeRun) -> None:
    run = make_run("new", done=1, epochs=1)
    assert "+1 epoch" in told(record(**{run.id: "nonsense"}))  # type: ignore[arg-type]


def test_a_home_that_cannot_be_written_is_no_reason_to_fail(make_run: MakeRun, home: Path) -> None:
    make_run()
    (home / since.FILE).mkdir()
    since.remember(Store.default().rows())


async def test_the_top_line_tells_it_and_leaving_writes_it_down(make_run: MakeRun, home: Path) -> None:
    run = make_run("night", done=4)
    home.joinpath(since.FILE).write_text('{"v": 1, "time": 1.0, "runs": {}}')
    app = WorkbenchApp()
    async with app.run_test(size=(160, 36)) as pilot:
        await pilot.pause()
        assert "+4 epochs, night finished" in app.query_one(StatusLine).text
        await pilot.press("q")
    before = since.recall()
    assert before is not None and before["time"] > 1.0
    assert before["runs"][run.id] == {"epoch": 4, "status": "finished", "attempt": 1, "best": 0.9}
