"""The key bar, the key help and the command palette."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.command import Hit

from tests.cli.test_control import until as wait_until
from tests.ui.screen_steps import Hold, MakeRun, TextOf, Until, ready
from workbench.runs.tickets import Ticket, TicketQueue
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PANES, PaneId
from workbench.ui.command_palette import ActionCommands
from workbench.ui.key_bar import KeyBar
from workbench.ui.widgets.confirm_screen import Confirm


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


async def test_keys_of_the_queue_are_shown_for_queued_runs_only(
    home: Path, make_run: MakeRun, until: Until, text_of: TextOf
) -> None:
    queue = TicketQueue(home)
    for name in ("a", "b"):
        ticket = Ticket(run=make_run(name, done=0, status=None).id, attempt=1, held=name == "a")
        queue.add(replace(ticket, not_before=time.time() + 86_400))
    make_run("done")
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        bar = app.query_one(KeyBar)

        def keys() -> str:
            return " ".join(bar.text.split())

        await pilot.press("g")
        await until(pilot, lambda: "T queue s take out K J move H release" in keys())
        await pilot.press("question_mark")
        await until(pilot, "earlier in the queue")
        assert re.search("H +release", text_of(app)) and re.search("s +take out", text_of(app))
        await pilot.press("escape", "j")
        await until(pilot, lambda: "T queue s take out K J move H hold" in keys())
        await pilot.press("j")
        await until(pilot, lambda: "r resume" in keys())
        assert "queue" not in keys() and "H " not in keys()
    for ticket in queue.tickets():
        queue.remove(ticket.run)
    await asyncio.to_thread(wait_until, lambda: queue.runner_pid is None, "end of the queue runner")


async def test_the_key_that_exports_says_what(make_run: MakeRun, text_of: TextOf, until: Until) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(120, 60)) as pilot:
        await ready(pilot, until)
        for pane, label, title in (
            ("1", "export the run", "Export the run"),
            ("8", "export charts", "Export these charts"),
        ):
            await pilot.press(pane, "question_mark")
            await until(pilot, label)
            assert re.findall("e +(export .*?) *│", text_of(app)) == [label]
            await pilot.press("escape", "e")
            await until(pilot, title)
            await pilot.press("escape")
        commands = ActionCommands(app.screen)
        hits = [str(hit.text) async for hit in commands.search("export") if isinstance(hit, Hit)]
        assert {"export the run", "export charts"} <= set(hits), "both can be found in the charts pane"


@pytest.mark.parametrize("key", ["question_mark", "？", "f1"])
async def test_the_key_help_lists_the_keys(
    key: str, make_run: MakeRun, text_of: TextOf, until: Until
) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(120, 60)) as pilot:
        await ready(pilot, until)
        await pilot.press(key)
        await until(pilot, "move to trash")
        shown = text_of(app)
        assert "fullwidth" not in shown
        assert all(f" {spec.key}  {spec.title} " in shown for spec in PANES.values()), shown


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


async def test_the_palette_reports_that_nothing_matches(make_run: MakeRun, until: Until) -> None:
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
        ("export", "export the run"),
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


async def test_ctrl_j_is_enter(make_run: MakeRun, until: Until) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        await pilot.press("ctrl+j")
        await until(pilot, lambda: app.navigation.front is PaneId.PLOTS)
