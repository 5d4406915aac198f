"""The keys that act on runs: stop, pause, resume, trash, log and copy."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.ui.screen_steps import Hold, MakeRun, TextOf, Until, ready, requested
from workbench.io.record_codec import write_record
from workbench.launcher import launch
from workbench.runs.enums import Phase, RequestKind
from workbench.runs.nodes import Node, Nodes, Placement
from workbench.runs.records import RequestValues
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PaneId
from workbench.ui.widgets.confirm_screen import Confirm
from workbench.ui.widgets.text_screen import TextScreen


async def test_stop_asks_first(make_run: MakeRun, hold: Hold, until: Until) -> None:
    folder = make_run("going", status=None)
    hold(folder)
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs.selected is not None)
        await pilot.press("s")
        await until(pilot, "Stop going?")
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(app.screen, Confirm))
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
        await until(pilot, lambda: "last line" not in text_of(app))
        await pilot.press("q")
        assert not isinstance(app.screen, TextScreen) and app.is_running


async def test_the_path_is_copied(make_run: MakeRun, until: Until) -> None:
    folder = make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs.selected is not None)
        await pilot.press("y")
        await until(pilot, lambda: app.clipboard == str(folder.path))


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


async def test_the_command_that_repeats_a_run_is_copied(make_run: MakeRun, until: Until) -> None:
    make_run("mine", epochs=9)
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.runs.selected is not None)
        await pilot.press("Y")
        await until(
            pilot, lambda: app.copied_text == "workbench train digits-mlp --name mine --set train.epochs=9"
        )
        await pilot.press("colon", *"reproduce")
        await until(pilot, "copy the command that repeats the run")


async def test_of_a_run_that_waits_for_nodes_their_command_is_copied(
    make_run: MakeRun, hold: Hold, until: Until
) -> None:
    folder = make_run("mine", status=None, phase=Phase.WAITING_FOR_NODES)
    command = "workbench train digits-mlp --nnodes 2 --rdzv gpu01:29400"
    write_record(folder.placement, Placement(nodes=2, address="gpu01:29400", command=command))
    lost = Node(host="gpu02", lost_since=time.time())
    write_record(folder.nodes, Nodes(attempt=1, count=2, nodes=(Node(host="gpu01"), lost)))
    app = WorkbenchApp()
    hold(folder)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, "node gpu02 is lost since")
        await pilot.press("Y")
        await until(pilot, lambda: app.copied_text == command)


async def test_keys_act_on_all_runs_of_a_folded_row_and_the_charts_show_them(
    make_run: MakeRun, until: Until
) -> None:
    for accuracy in (0.7, 0.8, 0.9):
        make_run("repeated", accuracy=accuracy)
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        charts = app.main_view.panes[PaneId.CHARTS]
        await pilot.press("F", "x")
        await until(pilot, "Move 3 runs to the trash?")
        await pilot.press("escape", "8")
        await until(pilot, lambda: charts.headline.startswith("3 runs"))
        await pilot.press("F")
        await until(pilot, lambda: "means of repeats" in charts.headline)
        await pilot.press("1", "F", "8")
        await until(pilot, lambda: charts.headline.startswith("repeated"))
