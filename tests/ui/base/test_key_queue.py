from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from textual import events
from textual.widgets import Input

from workbench.ui.app import WorkbenchApp
from workbench.ui.base.key_queue import IDLE_SECONDS
from workbench.ui.base.layout import PANES, PaneId
from workbench.ui.photo.pane import PhotoPane
from workbench.ui.widgets.chooser import Finder


@pytest.mark.parametrize("busy_seconds", [0.0, 2 * IDLE_SECONDS])
async def test_text_typed_after_enter_reaches_the_input_that_enter_opens(
    make_run: Callable[..., Any],
    hold: Callable[..., Any],
    until: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    busy_seconds: float,
) -> None:
    """Keys that arrive all at once: none of them may stop the run or quit the app, however busy the machine is."""
    open_input = PhotoPane._open_finder

    async def open_slowly(pane: PhotoPane, finder: Finder) -> None:
        for _ in range(10):  # as many tasks that get little time
            time.sleep(busy_seconds / 10)
            await asyncio.sleep(0)
        await open_input(pane, finder)

    monkeypatch.setattr(PhotoPane, "_open_finder", open_slowly)
    run = make_run(status=None)
    hold(run)
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: len(app.main_view.panes) == len(PANES))
        await pilot.press("6")
        for key in ["enter", "slash", *"tmp", "slash", *"sqzx", "full_stop", *"png"]:
            app.post_message(events.Key(key, {"slash": "/", "full_stop": ".", "enter": "\r"}.get(key, key)))
        app.post_message(events.Paste("/rest"))
        await until(pilot, lambda: isinstance(app.focused, Input) and app.focused.value.endswith("rest"))
        assert isinstance(app.focused, Input)
        assert app.focused.value == "/tmp/sqzx.png/rest"
        assert len(app.screen_stack) == 1
        assert not app.navigation.zoomed
        assert not list(run.control.glob("*.json"))


async def test_the_last_of_the_panes_that_were_asked_for_together_stays_in_front(
    until: Callable[..., Any],
) -> None:
    """A busy machine takes longer over a pane than keys wait for one another."""
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: len(app.main_view.panes) == len(PANES))
        order = list(PANES)
        for first, last in zip(order * 2, order[3:] + order[:3] + order[5:] + order[:5], strict=True):
            await app.navigation.go_to(first)
            await app.navigation.go_to(last)
            for _ in range(3):
                await pilot.pause()
            assert app.navigation.front is last, f"{first}, then {last}"
            assert app.focused in app.main_view.panes[last].walk_children(), f"{first}, then {last}"


async def test_a_key_whose_widget_is_removed_delays_no_other_key(until: Callable[..., Any]) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(app.main_view.panes) == len(PANES))
        await pilot.press("question_mark")
        for key in ["escape", "3"]:
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: app.navigation.front is PaneId.PLOTS)
