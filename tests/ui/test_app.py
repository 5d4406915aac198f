"""The app as a whole: its start, selection, notifications and end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ui.screen_steps import Hold, MakeRun, TextOf, Until, ready, requested
from workbench.runs.enums import Cause, Outcome, Phase, RequestKind
from workbench.runs.journal import AnsweredRequest, Journal, Notice
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store
from workbench.ui.app import WorkbenchApp
from workbench.ui.experiment.pane import ExperimentPane
from workbench.ui.runs.run_table import RunTable
from workbench.ui.runs.status_line import StatusLine
from workbench.ui.services import last_visit, notifications
from workbench.ui.services.run_state import default_run_id, live_runs_text
from workbench.ui.widgets.confirm_screen import Confirm
from workbench.ui.widgets.notice_bar import NotificationBar
from workbench.ui.widgets.text_screen import TextScreen


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_an_empty_home_shows_how_to_train_the_first_run(size: tuple[int, int], until: Until) -> None:
    async with WorkbenchApp().run_test(size=size) as pilot:
        await until(pilot, "Press t to train digits-mlp")


async def test_the_newest_live_run_is_selected(
    make_run: MakeRun, hold: Hold, text_of: TextOf, until: Until
) -> None:
    make_run("old")
    hold(make_run("going", status=None, done=2, epochs=4))
    make_run("newer but done")
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        for part in ("going ● 2/4", "50%", "best val .900@2", "ETA 1m00"):
            await until(pilot, lambda part=part: part in app.query_one(StatusLine).text)


async def test_new_metrics_and_the_end_of_a_run_are_shown(
    make_run: MakeRun, hold: Hold, write_run: dict[str, Callable[..., None]], until: Until
) -> None:
    folder = make_run("going", status=None, done=1, epochs=4)
    process = hold(folder)
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: " 1/4 " in app.query_one(StatusLine).text)
        write_run["train"](folder, range(2, 4))
        write_run["heartbeat"](folder, epochs=4, done=3)
        await until(pilot, lambda: " 3/4 " in app.query_one(StatusLine).text)
        await until(pilot, lambda: app.runs.mirror is not None and len(app.runs.mirror.view.steps) == 30)
        write_run["end"](folder, "failed", "the loss became NaN at step 30")
        process.kill()
        process.wait()
        await until(
            pilot,
            lambda: "going failed: the loss became NaN at step 30" in app.query_one(NotificationBar).text,
        )


async def test_answers_of_the_worker_become_notifications(
    make_run: MakeRun, hold: Hold, until: Until
) -> None:
    folder = make_run("going", status=None)
    hold(folder)
    journal = Journal(folder.journal)
    journal.append(AnsweredRequest(request=RequestKind.LR, text="long ago"))
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.runs.mirror is not None and len(app.runs.mirror.view.journal) == 2)
        journal.append(AnsweredRequest(request=RequestKind.LR, text="lr 0.001 → 0.0005 from step 7 on"))
        await until(pilot, "going: lr 0.001 → 0.0005 from step 7 on")
        assert not any("long ago" in notice.text for notice in app.query_one(NotificationBar).notifications)
        hold(make_run("newer", status=None))
        await until(pilot, lambda: len(app.runs.rows or []) == 2)
        await pilot.press("g")
        await until(pilot, lambda: app.runs.selected is not None and app.runs.selected.name == "newer")
        journal.append(Notice(text="batches are computed in 2 parts"))  # of a run that is not selected
        await until(pilot, "going: batches are computed in 2 parts")
    journal.close()


def test_the_severity_follows_outcome_and_cause() -> None:
    lines = [AnsweredRequest(request=RequestKind.LR, text="x", outcome=outcome) for outcome in Outcome]
    severities = [
        severity for _, severity in notifications.journal_notifications("run", [*lines, Notice(text="x")])
    ]
    assert severities == ["information", "warning", "warning", "warning"]
    before = {"1": RunSummary("1", "run", Status.RUNNING)}
    for cause, severity in ((Cause.REQUESTED, "information"), (Cause.SIGNAL, "warning")):
        stopped = RunSummary("1", "run", Status.STOPPED, reason="stopped on request", cause=cause)
        assert notifications.run_endings(before, [stopped]) == [("run stopped on request", severity)]


async def test_a_run_that_waits_for_disk_space_is_notified(
    make_run: MakeRun, hold: Hold, until: Until, write_run: dict[str, Callable[..., None]]
) -> None:
    folder = make_run("going", status=None)
    hold(folder)
    hold(make_run("selected", status=None))
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.runs.selected is not None and app.runs.selected.name == "selected")
        write_run["heartbeat"](folder, epochs=4, done=2, phase=Phase.WAITING_FOR_SPACE, counter=2)
        await until(pilot, "going waits for disk space")
        assert app.query_one(NotificationBar).newest.severity == "warning"  # type: ignore[union-attr]


async def test_moving_the_cursor_selects_another_run(make_run: MakeRun, until: Until) -> None:
    make_run("first")
    make_run("second")
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "second" in app.query_one(StatusLine).text)
        await pilot.press("j")
        await until(pilot, lambda: "first" in app.query_one(StatusLine).text)
        await pilot.press("k")
        await until(pilot, lambda: "second" in app.query_one(StatusLine).text)


async def test_the_draft_survives_a_restart_of_the_screen(home: Path, until: Until) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        pane = app.query_one(ExperimentPane)
        pane._apply(lambda: pane.draft.choose("model", "convnet"))
        pane._apply(lambda: pane.draft.set("train.lr", "0.5"))
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        draft = app.query_one(ExperimentPane).draft
        assert (draft.model, draft.value("train.lr")) == ("convnet", 0.5)
    for damaged in (
        '{"v": 1, "base": {}, "overrides": {}}',
        '{"base": {"data.name": "gone", "model.name": 3}}',
        "[",
    ):
        (home / "draft.json").write_text(damaged)
        app = WorkbenchApp()
        async with app.run_test(size=(120, 36)) as pilot:
            await ready(pilot, until)
            assert app.query_one(ExperimentPane).draft.recipe == "digits-mlp"


async def test_what_happened_during_an_absence_is_shown_until_the_first_key(
    make_run: MakeRun, home: Path, until: Until
) -> None:
    make_run()
    last_visit.save([], Store.default(), now=time.time() - 3600)
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "away 1h00" in app.query_one(StatusLine).text)
        await pilot.press("j")
        await until(pilot, lambda: "away" not in app.query_one(StatusLine).text)


def names(table: RunTable) -> list[str]:
    """The names of the listed runs; as they are cut in a narrow column if they are long."""
    return [cell(20) if callable(cell := row.cells["name"]) else str(cell) for row in table.rows]


async def test_letters_typed_into_the_filter_trigger_no_action(make_run: MakeRun, until: Until) -> None:
    make_run("quartz")
    make_run("other")
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        await pilot.press("slash", *"quartz")
        table = app.query_one(RunTable)
        await until(pilot, lambda: names(table) == ["quartz"])
        assert not isinstance(app.screen, Confirm)
        await pilot.press("enter")
        await until(pilot, lambda: table.has_focus)
        assert names(table) == ["quartz"]
        await pilot.press("slash", "escape")
        await until(pilot, lambda: len(table.rows) == 2 and table.has_focus)


async def test_a_new_run_is_selected_once_it_is_listed(make_run: MakeRun, home: Path, until: Until) -> None:
    """Whichever runs are listed before it, and whatever had the cursor."""
    make_run("old")
    folder = make_run("new")
    elsewhere = folder.path.rename(home / "not yet")
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        assert app.runs.selected is not None and app.runs.selected.name == "old"
        app.refresh_runs(folder.id)
        make_run("another")
        await until(pilot, lambda: len(app.runs.rows or []) == 2)
        elsewhere.rename(folder.path)
        await until(pilot, lambda: len(app.runs.rows or []) == 3)
        await until(pilot, lambda: app.query_one(RunTable).key == folder.id)
        assert app.runs.selected.name == "new"


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
async def test_quitting_stops_no_run(key: str, make_run: MakeRun, hold: Hold, until: Until) -> None:
    folder = make_run("go\x1bing", status=None)
    hold(folder)
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        await pilot.press(key)
    assert "go\N{REPLACEMENT CHARACTER}ing keeps running in the background" in live_runs_text(
        app.runs.rows or []
    )
    assert requested(folder) == []


async def test_hostile_names_are_sanitized(make_run: MakeRun, text_of: TextOf, until: Until) -> None:
    for name in ("\x1b]52;c;aGk=\x07", "[@click=app.quit]x[/]", "\u202ex\ny"):
        make_run(name, status="failed", reason=f"no {name}")
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        for _ in range(3):
            await pilot.press("j")
            await pilot.pause()
            assert not set(text_of(app)) & {"\x1b", "\x07", "\u202e"}
            await pilot.press("exclamation_mark")
            await until(pilot, lambda: isinstance(app.screen, TextScreen))
            await pilot.press("q")
            await until(pilot, lambda: not isinstance(app.screen, TextScreen))
        assert app.is_running


async def test_an_unreadable_home_is_reported(home: Any, until: Until) -> None:
    home.mkdir()
    (home / "runs").write_text("no folder")
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, "can't be read")


def test_the_newest_live_run_is_selected_by_default(make_run: MakeRun, hold: Hold) -> None:
    assert default_run_id([]) is None
    hold(make_run("going", status=None))
    make_run("done")
    rows = Store.default().list_runs()
    assert default_run_id(rows) == rows[1].id
    assert default_run_id(rows[:1]) == rows[0].id
