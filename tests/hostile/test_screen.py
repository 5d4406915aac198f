"""The screen under pastes, resizes and clicks, and beside another screen."""

from __future__ import annotations

import random

from textual import events
from textual.geometry import Size
from textual.widgets import Input

from tests.ui.screen_steps import Hold, MakeRun, Until, move_to_row, notified, ready
from workbench.runs import requests
from workbench.runs.enums import RequestKind
from workbench.runs.store import Store
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PANES, PaneId
from workbench.ui.widgets.confirm_screen import Confirm
from workbench.ui.widgets.form import Form

DIALOGS = ("exclamation_mark", "question_mark", "N", "i", "e", "equals_sign", "s", "P", "colon", "slash")
"""Keys that open something over the panes."""


async def test_ten_kilobytes_pasted_into_a_row(make_run: MakeRun, until: Until) -> None:
    """With line ends, escapes and wide characters: nothing is executed, the row refuses it, the app answers."""
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(80, 30)) as pilot:
        await ready(pilot, until)
        await pilot.press("2")
        await until(pilot, "▸ recipe")
        form = app.query_one(Form)
        await move_to_row(pilot, form, "train.epochs")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.focused, Input))
        text = "q\x1b[31m\r\nx 日本 [@click=app.quit]y[/] \x1b]52;c;aGk=\x07" * 250
        assert len(text) >= 10_000 and isinstance(app.focused, Input)
        app.focused.post_message(events.Paste(text))
        await pilot.press("enter")
        await pilot.pause()
        assert app.is_running and len(Store.default().list_runs()) == 1
        await pilot.press("escape", "escape")
        await pilot.press("1")
        await until(pilot, lambda: app.navigation.front is PaneId.RUNS)


async def test_fifty_resizes_with_dialogs_open(make_run: MakeRun, hold: Hold, until: Until) -> None:
    """Five at once over each of ten dialogs, down to a terminal of one cell."""
    hold(make_run("going", status=None))
    make_run("ended")
    dice = random.Random(1)
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        for key in DIALOGS:
            await pilot.press(key)
            for _ in range(5):
                size = Size(dice.randint(1, 140), dice.randint(1, 40))
                app.post_message(events.Resize(size, size))
            await pilot.pause()
            await pilot.press("escape", "escape")
            assert app.is_running, key
        await pilot.resize_terminal(120, 36)
        await until(pilot, lambda: len(app.screen_stack) == 1)
        for pane, spec in PANES.items():
            await pilot.press(spec.key)
            await until(pilot, lambda pane=pane: app.navigation.front is pane)


async def test_clicks_everywhere(make_run: MakeRun, until: Until) -> None:
    """Where chance leads to, in every pane: nothing throws, and no run is started or removed.

    Only the key bar is left out, whose keys train and quit.
    """
    dice = random.Random(1)
    first = make_run("one")
    make_run("two", status="failed", reason="[@click=app.quit]boom[/]")
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        for spec in PANES.values():
            for _ in range(12):
                await pilot.click(offset=(dice.randrange(80), dice.randrange(23)))
            while len(app.screen_stack) > 1:
                await pilot.press("escape")
            await pilot.press("escape", spec.key)
            assert app.is_running
    assert app.return_code in {None, 0}
    assert len(Store.default().list_runs()) == 2 and first.path.exists()


async def test_two_screens_act_on_the_same_run(make_run: MakeRun, hold: Hold, until: Until) -> None:
    """Both ask a live run to stop; then one moves it to the trash, of which the other takes notice."""
    going = make_run("going", status=None)
    process = hold(going)
    first, second = WorkbenchApp(), WorkbenchApp()
    async with first.run_test(size=(120, 36)) as one, second.run_test(size=(120, 36)) as other:
        await ready(one, until)
        await ready(other, until)
        for pilot in (one, other):
            await pilot.press("s")
            await until(pilot, lambda pilot=pilot: isinstance(pilot.app.screen, Confirm))
        for pilot in (one, other):
            await pilot.press("y")
        await until(one, lambda: len(requests.pending_requests(going)) == 2)
        assert {request.kind for request in requests.pending_requests(going)} == {RequestKind.STOP}
        process.kill()
        process.wait()
        for pilot in (one, other):
            await until(pilot, lambda pilot=pilot: not any(row.status.live for row in pilot.app.runs.rows))
            await pilot.press("x")
            await until(pilot, lambda pilot=pilot: isinstance(pilot.app.screen, Confirm))
        await one.press("y")
        await until(one, lambda: not going.path.exists())
        await other.press("y")
        await until(other, lambda: not second.runs.rows)
        await until(other, lambda: notified(second, f"{going.id} is already in the trash"))
        assert first.is_running and second.is_running
