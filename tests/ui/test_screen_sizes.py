"""The arrangement of the panes on terminals of all sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.app import App
from textual.widgets import Input, OptionList

from tests.ui.screen_steps import MakeRun, TextOf, Until, ready
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PANES
from workbench.ui.widgets.chooser import Chooser


async def test_panes_are_side_by_side_or_one_fills_the_screen(make_run: MakeRun, until: Until) -> None:
    make_run()
    app = WorkbenchApp()

    def visible() -> str:
        return "".join(sorted(pane.spec.key for pane in app.main_view.panes.values() if pane.region.area > 0))

    async with app.run_test(size=(120, 36)) as pilot:

        async def shows(keys: str) -> None:
            await until(pilot, lambda: visible() == keys)

        await ready(pilot, until)
        await shows("12346")
        await pilot.press("z")
        await shows("1")
        await pilot.press("4")
        await shows("4")
        await pilot.press("escape")
        await shows("12346")
        await pilot.press("7")
        await shows("7")
        await pilot.press("escape")
        await shows("12346")
        await pilot.resize_terminal(80, 24)
        await pilot.press("3")
        await shows("3")
        await pilot.click("#tabs", offset=(2, 0))
        await shows("1")
        await pilot.press("enter")
        await shows("3")  # enter on a run shows its curves


@pytest.mark.parametrize("size", [(40, 12), (40, 10), (99, 30), (100, 30), (200, 50), (300, 90)])
async def test_every_size_shows_every_pane(size: tuple[int, int], make_run: MakeRun, until: Until) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=size) as pilot:
        await ready(pilot, until)
        for pane_id, spec in PANES.items():
            await pilot.press(spec.key)
            await until(pilot, lambda pane_id=pane_id: app.navigation.front is pane_id)
            await until(pilot, lambda pane_id=pane_id: app.main_view.panes[pane_id].region.area > 0)


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


async def test_an_input_shows_its_cursor_and_what_is_selected_without_color(
    make_run: MakeRun, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.focused, Input))
        line = app.focused
        assert isinstance(line, Input)
        await until(
            pilot, lambda: [s.text for s in line.render_line(0) if s.style and s.style.reverse] == [" "]
        )
        line.select_all()
        await until(pilot, lambda: any(s.style and s.style.underline and s.text for s in line.render_line(0)))


async def test_a_tiny_terminal_shows_the_required_size(text_of: TextOf, until: Until) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=(20, 5)) as pilot:
        await until(pilot, "too small")
        await pilot.resize_terminal(80, 24)
        await until(pilot, "Press t to train")
        await until(pilot, lambda: "too small" not in text_of(app))


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


@pytest.mark.parametrize("size", [(100, 30), (120, 30), (120, 36)])
async def test_every_size_with_panes_side_by_side_lists_several_runs(
    make_run: MakeRun, until: Until, text_of: Callable[[App[Any]], str], size: tuple[int, int]
) -> None:
    for number in range(4):
        make_run(f"run{number}")
    app = WorkbenchApp()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: all(f"run{number}" in text_of(app) for number in range(4)))
