"""What has the focus and what is being typed survive any resize."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.ui.screen_steps import MakeRun, Until, move_to_row, ready
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PANES, PaneId
from workbench.ui.experiment.pane import ExperimentPane
from workbench.ui.widgets.form import Form

SIZES = [(120, 36), (200, 50), (20, 5), (80, 24)]


async def resize(pilot: Pilot[None], size: tuple[int, int], until: Until, focused: str) -> None:
    """Resize, and wait until the focus is in the pane `focused` (a terminal that is too small shows nothing)."""
    app = pilot.app
    await pilot.resize_terminal(*size)
    await pilot.pause()
    if size != (20, 5):
        await until(
            pilot,
            lambda: app.focused is not None and app.focused in app.query(f"#slot-{focused} *, #{focused}"),
        )


async def test_the_focus_stays_in_its_pane(make_run: MakeRun, until: Until) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        for pane_id in (PaneId.EXPERIMENT, PaneId.DATA, PaneId.PHOTO):
            await pilot.press(PANES[pane_id].key)
            for size in SIZES:
                await resize(pilot, size, until, pane_id)
                assert app.navigation.front is pane_id
            assert app.main_view.panes[pane_id].size.width >= 78, "it fills the screen"


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_the_cursor_of_the_form_is_always_visible(size: tuple[int, int], until: Until) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=size) as pilot:
        await ready(pilot, until)
        await pilot.press("2", "enter" if size == (120, 36) else "home")
        form = app.query_one(Form)
        await until(pilot, lambda: form.has_focus)

        def cursor_is_visible() -> bool:
            top = form.rows[form.cursor].virtual_region.y - form.scroll_y
            return 0 <= top < form.size.height

        for key in ("down", "up"):
            for _ in form.rows:
                await pilot.press(key)
                await until(pilot, cursor_is_visible)


async def test_a_half_typed_setting_stays(make_run: MakeRun, until: Until) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        await pilot.press("2")
        pane = app.query_one(ExperimentPane)
        form = pane.query_one(Form)
        await until(pilot, lambda: form.has_focus)
        await move_to_row(pilot, form, "train.lr")
        await pilot.press("enter", "0", ".", "1", "2")
        for size in SIZES:
            await resize(pilot, size, until, PaneId.EXPERIMENT)
        await pilot.press("5", "enter")
        await until(pilot, lambda: pane.draft.value("train.lr") == 0.125)


async def test_a_half_typed_filter_stays(make_run: MakeRun, until: Until) -> None:
    make_run("one")
    make_run("two")
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        await pilot.press("slash", "t", "w")
        for size in SIZES:
            await resize(pilot, size, until, "filter")
        await pilot.press("o")
        assert app.query_one("#filter", Input).value == "two"
