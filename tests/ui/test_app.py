from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.command import Hit
from textual.widgets import OptionList

from tests.ui.screen_steps import Hold, MakeRun, TextOf, Until, ready
from workbench.launcher import launch
from workbench.runs import requests
from workbench.runs.enums import Cause, Outcome, Phase, RequestKind
from workbench.runs.journal import AnsweredRequest, Journal, Notice
from workbench.runs.records import RequestValues
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PANES, PaneId
from workbench.ui.command_palette import ActionCommands
from workbench.ui.experiment.pane import ExperimentPane
from workbench.ui.runs.run_table import RunTable
from workbench.ui.runs.status_line import StatusLine
from workbench.ui.services import last_visit, notifications
from workbench.ui.services.run_state import default_run_id, live_runs_text
from workbench.ui.widgets.chooser import Chooser
from workbench.ui.widgets.confirm_screen import Confirm
from workbench.ui.widgets.notice_bar import NotificationBar
from workbench.ui.widgets.text_screen import TextScreen


def requested(folder: RunFolder) -> list[tuple[RequestKind, RequestValues]]:
    """The pending requests of a run, oldest first."""
    return [(request.kind, request.values) for request in requests.pending_requests(folder)]


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_an_empty_home_shows_how_to_train_the_first_run(size: tuple[int, int], text_of: TextOf) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert "Press t to train digits-mlp" in text_of(app)


async def test_the_newest_live_run_is_selected(
    make_run: MakeRun, hold: Hold, text_of: TextOf, until: Until
) -> None:
    make_run("old")
    hold(make_run("going", status=None, done=2, epochs=4))
    make_run("newer but done")
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "going ● 2/4" in app.query_one(StatusLine).text)
        for part in ("50%", "best val .900@2", "ETA 1m00"):
            assert part in app.query_one(StatusLine).text


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
        assert app.runs.mirror is not None and len(app.runs.mirror.view.steps) == 30
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


async def test_panes_are_side_by_side_or_one_fills_the_screen(make_run: MakeRun, until: Until) -> None:
    make_run()
    app = WorkbenchApp()

    def visible() -> str:
        return "".join(sorted(pane.spec.key for pane in app.main_view.panes.values() if pane.region.area > 0))

    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        assert visible() == "12346"
        await pilot.press("z")
        await pilot.pause()
        assert visible() == "1"
        await pilot.press("4")
        await pilot.pause()
        assert visible() == "4"
        await pilot.press("escape")
        await pilot.pause()
        assert visible() == "12346"
        await pilot.press("7")
        await pilot.pause()
        assert visible() == "7"
        await pilot.press("escape")
        await pilot.pause()
        assert visible() == "12346"
        await pilot.resize_terminal(80, 24)
        await pilot.press("3")
        await pilot.pause()
        assert visible() == "3"
        await pilot.click("#tabs", offset=(2, 0))
        await pilot.pause()
        assert visible() == "1"
        await pilot.press("enter")
        await pilot.pause()
        assert visible() == "3", "enter on a run shows its curves"


@pytest.mark.parametrize("size", [(40, 12), (40, 10), (99, 30), (100, 30), (200, 50), (300, 90)])
async def test_every_size_shows_every_pane(size: tuple[int, int], make_run: MakeRun, until: Until) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=size) as pilot:
        await ready(pilot, until)
        for pane_id, spec in PANES.items():
            await pilot.press(spec.key)
            await pilot.pause()
            assert app.main_view.panes[pane_id].region.area > 0
            assert app.navigation.front is pane_id


async def test_choosers_lie_over_the_screen_and_show_their_cursor_without_color(
    make_run: MakeRun, text_of: TextOf, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(200, 50)) as pilot:
        await ready(pilot, until)
        await pilot.press("2", "m")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        items = app.screen.query_one(OptionList)
        await until(pilot, lambda: items.highlighted is not None)
        await pilot.pause()
        assert "1 Runs" in text_of(app) and "3 Plots" in text_of(app), "the panes around it"
        assert app.screen.styles.background.a == 0, "and none of them is drawn again in other colors"
        rows = [items.render_line(y) for y in range(items.size.height)]
        (at_cursor,) = [
            row.text for row in rows if any(s.style and s.style.underline and s.text.strip() for s in row)
        ]
        assert at_cursor.startswith("mlp ")


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


async def test_a_pane_that_gets_the_focus_late_stays_behind(make_run: MakeRun, until: Until) -> None:
    """Its key was followed by that of another pane while it was being mounted."""
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        await pilot.press("4")
        app.query_one(RunTable).focus()
        await until(pilot, lambda: app.focused is None or app.navigation.front is PaneId.RUNS)
        await until(pilot, lambda: app.focused is not None)
        assert app.navigation.front is PaneId.CLASSES
        assert app.main_view.panes[PaneId.CLASSES].has_focus_within


async def test_a_tiny_terminal_shows_the_required_size(text_of: TextOf, until: Until) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=(20, 5)) as pilot:
        await until(pilot, "too small")
        await pilot.resize_terminal(80, 24)
        await until(pilot, "Press t to train")
        await until(pilot, lambda: "too small" not in text_of(app))


async def test_letters_typed_into_the_filter_trigger_no_action(make_run: MakeRun, until: Until) -> None:
    make_run("quartz")
    make_run("other")
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        await pilot.press("slash", *"quartz")
        await pilot.pause()
        table = app.query_one(RunTable)
        assert app.is_running and [row.cells["name"] for row in table.rows] == ["quartz"]
        assert not isinstance(app.screen, Confirm)
        await pilot.press("enter")
        assert [row.cells["name"] for row in table.rows] == ["quartz"] and table.has_focus
        await pilot.press("slash", "escape")
        await pilot.pause()
        assert len(table.rows) == 2 and table.has_focus


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
        await pilot.pause()
        assert app.runs.selected.name == "new"
        assert app.query_one(RunTable).key == folder.id


async def test_stop_asks_first(make_run: MakeRun, hold: Hold, until: Until) -> None:
    folder = make_run("going", status=None)
    hold(folder)
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs.selected is not None)
        await pilot.press("s")
        await until(pilot, "Stop going?")
        await pilot.press("n")
        await pilot.pause(0.2)
        assert requested(folder) == []
        await pilot.press("s", "y")
        await until(pilot, lambda: requested(folder) == [(RequestKind.STOP, RequestValues())])


async def test_a_pause_can_free_the_memory(make_run: MakeRun, hold: Hold, until: Until) -> None:
    folder = make_run("going", status=None)
    hold(folder)
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs.selected is not None)
        await pilot.press("P")
        await until(pilot, lambda: requested(folder) == [(RequestKind.PAUSE, RequestValues(suspend=True))])


async def test_pause_and_checkpoint_are_requested_at_once(
    make_run: MakeRun, hold: Hold, until: Until
) -> None:
    folder = make_run("going", status=None)
    paused = make_run("paused", status=None, phase=Phase.PAUSED)
    hold(folder)
    hold(paused)
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs.selected is not None and app.runs.selected.name == "paused")
        await pilot.press("p")
        await until(pilot, lambda: [kind for kind, _ in requested(paused)] == [RequestKind.CONTINUE])
        await pilot.press("j", "c", "p")
        wanted = {RequestKind.CHECKPOINT, RequestKind.PAUSE}
        await until(pilot, lambda: {kind for kind, _ in requested(folder)} == wanted)


async def test_a_change_of_the_learning_rate_can_be_cancelled(
    make_run: MakeRun, hold: Hold, until: Until
) -> None:
    folder = make_run("going", status=None)
    hold(folder)
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.runs.selected is not None)
        await pilot.press("left_square_bracket", "left_square_bracket")
        await until(pilot, "learning rate ÷4 in 3 s")
        await pilot.press("escape")
        await until(pilot, "cancelled: learning rate ÷4 of going")
        await pilot.press("plus", "plus", "minus", "plus")
        await until(pilot, "+2 epochs: 4 → 6 in 3 s")
        await until(pilot, lambda: requested(folder) == [(RequestKind.EPOCHS, RequestValues(add=2))])


async def test_keys_of_live_runs_are_shown_for_live_runs_only(
    make_run: MakeRun, hold: Hold, until: Until
) -> None:
    make_run("done")
    hold(make_run("going", status=None))
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "s stop" in app.query_one("#keys").text)  # type: ignore[attr-defined]
        assert "r resume" not in app.query_one("#keys").text  # type: ignore[attr-defined]
        await pilot.press("j")
        await until(pilot, lambda: "r resume" in app.query_one("#keys").text)  # type: ignore[attr-defined]
        keys = app.query_one("#keys").text  # type: ignore[attr-defined]
        assert "s stop" not in keys and keys.rstrip().endswith("q quit")
        await pilot.press("s")
        assert not isinstance(app.screen, Confirm)


async def test_trash_moves_the_folder_after_a_confirmation(
    make_run: MakeRun, home: Any, until: Until
) -> None:
    folder = make_run("old")
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs.selected is not None)
        await pilot.press("x", "escape")
        assert folder.path.exists()
        await pilot.press("x", "y")
        await until(pilot, (home / "trash" / folder.id).exists)
        await until(pilot, "Press t to train digits-mlp")


async def test_the_log_is_shown_sanitized(make_run: MakeRun, text_of: TextOf, until: Until) -> None:
    folder = make_run("bad", status="failed", reason="boom")
    folder.log.write_bytes(b"x\n" * 500 + b"\x1b]52;c;aGk=\x07 [red]tail\xff\r 41%\r 100%[/]\nlast line\n")
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs.selected is not None)
        await pilot.press("exclamation_mark")
        await until(pilot, "last line")
        assert "100%[/]" in text_of(app) and "\x1b" not in text_of(app) and "41%" not in text_of(app)
        await pilot.press("g")
        await pilot.pause()
        assert "last line" not in text_of(app)
        await pilot.press("q")
        assert not isinstance(app.screen, TextScreen) and app.is_running


@pytest.mark.parametrize("key", ["question_mark", "？", "f1"])
async def test_the_key_help_lists_the_keys(
    key: str, make_run: MakeRun, text_of: TextOf, until: Until
) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(120, 50)) as pilot:
        await ready(pilot, until)
        await pilot.press(key)
        await until(pilot, "move to trash")
        shown = text_of(app)
        assert "fullwidth" not in shown
        assert all(re.search(rf"{spec.key}  {spec.title} *│", shown) for spec in PANES.values()), shown


async def test_the_palette_lists_every_action(make_run: MakeRun, text_of: TextOf, until: Until) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        await pilot.press("colon")
        await until(pilot, "duplicate into the experiment")
        assert "Focus" not in text_of(app) and "selected text" not in text_of(app)
        await pilot.press(*"zoom")
        await until(pilot, "(z)")
        await pilot.press("enter")
        await until(pilot, lambda: app.navigation.zoomed)


async def test_the_palette_says_that_nothing_matches(make_run: MakeRun, until: Until) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        await pilot.press("colon", *"xqzw")
        await until(pilot, "no command matches 'xqzw'")
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)


@pytest.mark.parametrize(
    ("typed", "action"),
    [
        ("undo", "undo"),
        ("delete", "move to trash"),
        ("help", "keys"),
        ("quit", "quit"),
        ("exit", "quit"),
        ("learning rate", "learning rate ×2"),
        ("lr", "learning rate ÷2"),
        ("stop", "stop"),
        ("kill", "stop"),
        ("export", "export"),
        ("save", "checkpoint now"),
        ("rename", "name, tags and notes"),
    ],
)
async def test_the_palette_finds_actions_by_other_names(typed: str, action: str) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)):
        commands = ActionCommands(app.screen)
        hits = [hit async for hit in commands.search(typed)]
        assert action in {str(hit.text) for hit in hits if isinstance(hit, Hit)}


async def test_the_palette_finds_the_actions_of_other_panes(make_run: MakeRun, until: Until) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        assert app.navigation.front is PaneId.RUNS
        await pilot.press("colon", *"spread")
        await until(pilot, "Plots: spread  (3 b)")
        await pilot.press("enter")
        await until(
            pilot,
            lambda: app.navigation.front is PaneId.PLOTS and app.main_view.panes[PaneId.PLOTS].options.band,
        )


async def test_the_path_is_copied(make_run: MakeRun, until: Until) -> None:
    folder = make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs.selected is not None)
        await pilot.press("y")
        await until(pilot, lambda: app.clipboard == str(folder.path))


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


async def test_ctrl_j_is_enter(make_run: MakeRun, until: Until) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        await pilot.press("ctrl+j")
        await until(pilot, lambda: app.navigation.front is PaneId.PLOTS)


async def test_hostile_names_are_sanitized(make_run: MakeRun, text_of: TextOf, until: Until) -> None:
    for name in ("\x1b]52;c;aGk=\x07", "[@click=app.quit]x[/]", "\u202ex\ny"):
        make_run(name, status="failed", reason=f"no {name}")
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        for _ in range(3):
            await pilot.press("j")
            await pilot.pause(0.1)
            assert not set(text_of(app)) & {"\x1b", "\x07", "\u202e"}
            await pilot.press("exclamation_mark")
            await pilot.pause(0.1)
            await pilot.press("q")
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


async def test_every_pane_draws_without_color(
    make_run: MakeRun, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        for pane_id, spec in PANES.items():
            await pilot.press(spec.key)
            await until(pilot, lambda pane_id=pane_id: app.main_view.panes[pane_id].region.area > 0)
        assert app.is_running


async def test_a_finished_run_resumes_with_more_epochs_after_a_confirmation(
    make_run: MakeRun, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run("done", epochs=4, done=4)
    wanted: list[Any] = []
    monkeypatch.setattr(
        launch, "resume_run", lambda run, overrides, launcher, **_: wanted.append((run.id, overrides))
    )
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs.selected is not None)
        await pilot.press("r")
        await until(pilot, "Train done for 2 more epochs?")
        await pilot.press("y")
        await until(pilot, lambda: wanted == [(folder.id, {"train.epochs": 6})])


async def test_a_filter_never_leaves_a_hidden_run_selected(make_run: MakeRun, until: Until) -> None:
    make_run("wanted", status="failed", reason="loss is NaN")
    make_run("other")
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs.selected is not None and app.runs.selected.name == "other")
        await pilot.press("slash", *"failed", "enter")
        await until(pilot, lambda: app.runs.selected is not None and app.runs.selected.name == "wanted")
        await pilot.press("x")
        await until(pilot, "Move wanted to the trash?")
        await pilot.press("enter")
        assert isinstance(app.screen, Confirm)


@pytest.mark.parametrize("size", [(100, 30), (120, 30), (120, 36)])
async def test_every_size_with_panes_side_by_side_lists_several_runs(
    make_run: MakeRun, until: Until, text_of: Callable[[App[Any]], str], size: tuple[int, int]
) -> None:
    for number in range(4):
        make_run(f"run{number}")
    app = WorkbenchApp()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: all(f"run{number}" in text_of(app) for number in range(4)))
