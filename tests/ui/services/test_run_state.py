from __future__ import annotations

from tests.ui.screen_steps import MakeRun
from workbench.runs.enums import Cause, RequestKind
from workbench.runs.journal import AnsweredRequest, Journal
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store
from workbench.ui.base.snapshot import Snapshot
from workbench.ui.services.run_monitor import RunMonitor
from workbench.ui.services.run_state import RunState, default_run_id, live_runs_text

LIVE = RunSummary("1", "live", Status.RUNNING)
ENDED = RunSummary("2", "ended", Status.FINISHED)


def state(*rows: RunSummary) -> RunState:
    runs = RunState(Store.default())
    runs.apply(Snapshot(None, rows=list(rows)))
    return runs


def test_the_newest_live_run_is_selected_else_the_newest() -> None:
    assert default_run_id([]) is None
    assert default_run_id([ENDED, LIVE]) == "1"
    assert state(ENDED).selected == ENDED


def test_the_first_list_reports_no_endings(home: object) -> None:
    runs = RunState(Store.default())
    change = runs.apply(Snapshot(None, rows=[ENDED]))
    assert change.first_rows and change.selection and not change.notifications
    assert not runs.apply(Snapshot("2", rows=[ENDED])).first_rows


def test_the_end_of_a_run_is_reported() -> None:
    runs = state(LIVE)
    stopped = RunSummary("1", "live", Status.STOPPED, reason="stopped on request", cause=Cause.REQUESTED)
    change = runs.apply(Snapshot("1", rows=[stopped]))
    assert change.run_ended and change.notifications == [("live stopped on request", "information")]


def test_a_started_run_stays_selected_until_it_is_listed() -> None:
    runs = state(ENDED)
    runs.expect("3")
    runs.select("3")
    runs.apply(Snapshot("3", rows=[LIVE, ENDED]))
    assert runs.run_id == "3" and runs.selected is None
    runs.apply(Snapshot("3", rows=[RunSummary("3", "new", Status.STARTING), LIVE, ENDED]))
    assert runs.selected is not None and runs.selected.name == "new"
    runs.apply(Snapshot("3", rows=[LIVE, ENDED]))
    assert runs.run_id == "1", "a removed run is not expected"


def test_marks_of_removed_runs_are_ignored() -> None:
    runs = state(ENDED, LIVE)
    runs.marked_ids = frozenset({"1", "2", "gone"})
    assert runs.marked == [ENDED, LIVE]


def test_new_journal_lines_of_the_selected_run_are_reported_once(make_run: MakeRun) -> None:
    folder = make_run("mine")
    journal = Journal(folder.journal)
    journal.append(AnsweredRequest(request=RequestKind.LR, text="before"))
    runs = RunState(Store.default())
    monitor = RunMonitor(Store.default(), lambda _: None)
    runs.apply(monitor.poll())
    monitor.select(runs.run_id)
    change = runs.apply(monitor.poll())
    assert change.view and not change.notifications, "what was there at the first view is not new"
    journal.append(AnsweredRequest(request=RequestKind.LR, text="lr 0.001 → 0.0005"))
    journal.close()
    change = runs.apply(monitor.poll())
    assert [text for text, _ in change.notifications] == ["mine: lr 0.001 → 0.0005"]


def test_a_snapshot_of_another_run_is_ignored(make_run: MakeRun) -> None:
    first, second = make_run("first"), make_run("second")
    monitor = RunMonitor(Store.default(), lambda _: None)
    runs = RunState(Store.default())
    runs.apply(monitor.poll())
    monitor.select(first.id)
    late = monitor.poll()
    runs.select(second.id)
    change = runs.apply(late)
    assert not change.view and not change.evaluations and runs.evaluations == ()


def test_live_runs_are_named_when_the_app_quits() -> None:
    assert live_runs_text([ENDED]) == ""
    assert live_runs_text([LIVE, ENDED]).startswith("live keeps running in the background")
    many = [RunSummary(str(number), f"run{number}", Status.RUNNING) for number in range(4)]
    assert live_runs_text(many).startswith("run0, run1, run2 and others keep running")
