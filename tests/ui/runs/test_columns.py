"""The columns that the user chooses for the list of runs."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from tests.ui.runs.test_runs_pane import Bench, row
from tests.ui.screen_steps import MakeRun, TextOf, Until, choose, ready
from workbench.core.text import format_duration
from workbench.runs.store import RunSummary, Store
from workbench.ui.app import WorkbenchApp
from workbench.ui.runs.columns_screen import ColumnsScreen
from workbench.ui.runs.run_table import RunTable
from workbench.ui.services.saved_layout import ColumnChoice, RunsLayout, load_layout, save_layout


def lr_runs(count: int = 3) -> list[RunSummary]:
    return [
        row(
            number, settings={"train.lr": number / 10, "seed": number}, metrics={"validation/accuracy": number / 10},
            seconds=60.0 * number, host="atlas",
        )
        for number in range(count, 0, -1)
    ]  # fmt: skip


def shown(app: Bench) -> str:
    return "".join(one.name[-1] for one in app.pane.visible_rows)


def choose_columns(*names: str, **more: Any) -> None:
    save_layout(
        Store.default().home,
        runs=RunsLayout(columns=tuple(ColumnChoice(name=name) for name in names), **more),
    )


def header(app: Bench) -> list[str]:
    return app.table.lines[0].split()


async def opened(pilot: Pilot[None], until: Until) -> ColumnsScreen:
    await pilot.press("m")
    await until(pilot, lambda: isinstance(pilot.app.screen, ColumnsScreen))
    screen = pilot.app.screen
    assert isinstance(screen, ColumnsScreen)
    return screen


async def test_a_setting_is_added_moved_widened_and_remembered(until: Until) -> None:
    app = Bench(lr_runs())
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        await opened(pilot, until)
        await pilot.press("a")
        await choose(pilot, until, "train.lr")
        await until(pilot, lambda: isinstance(app.screen, ColumnsScreen))
        assert header(app)[:3] == ["name", "epoch", "lr"]
        await pilot.press("less_than_sign", "plus", "plus", "o")
        assert header(app)[:3] == ["name", "lr▲", "epoch"]
        assert shown(app) == "123", "a setting is sorted upwards first"
        await pilot.press("enter")
        assert (header(app)[1], shown(app)) == ("lr▼", "321")
        await pilot.press("down", "x", "x", "x", "x", "x", "x", "x", "x", "x", "escape")
        assert header(app) == ["name", "lr▼"]
    saved = load_layout(Store.default().home).runs
    assert saved == RunsLayout(
        columns=(ColumnChoice(name="train.lr", width=12),), order="train.lr", reverse=True
    )
    again = Bench(lr_runs())
    async with again.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        assert (header(again), shown(again)) == (["name", "lr▼"], "321")
        await opened(pilot, until)
        await pilot.press("d", "escape")
        assert "model" in header(again) and shown(again) == "321"
    assert load_layout(Store.default().home).runs == RunsLayout()


async def test_a_metric_that_no_run_has_is_not_added(until: Until, text_of: TextOf) -> None:
    app = Bench(lr_runs())
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        await opened(pilot, until)
        await pilot.press("a")
        await choose(pilot, until, "max:val/acuracy")
        await until(pilot, lambda: "did you mean 'validation/accuracy'?" in text_of(app))
        await pilot.press("escape", "escape")
        assert load_layout(Store.default().home).runs.columns == ()


async def test_a_click_on_a_header_sorts_and_a_second_one_reverses() -> None:
    choose_columns("duration", "host", "lr")
    app = Bench(lr_runs())
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        at = app.table.lines[0].index("duration")
        await pilot.click(RunTable, offset=(at, 0))
        assert (header(app)[1], shown(app)) == ("duration▼", "321")
        await pilot.click(RunTable, offset=(at, 0))
        assert (header(app)[1], shown(app)) == ("duration▲", "123")
        for line, run in zip(app.table.lines[1:4], (1, 2, 3), strict=True):
            assert format_duration(60.0 * run) in line.split()


async def test_columns_that_do_not_fit_are_reached_by_scrolling() -> None:
    names = ("duration", "host", "lr", "validation/accuracy", "seed")
    choose_columns(*names)
    app = Bench(lr_runs())
    async with app.run_test(size=(46, 12)) as pilot:
        await pilot.pause()
        assert header(app)[:3] == ["name", "duration", "host"] and app.table.lines[0].endswith("›")
        seen = set(header(app))
        for _ in names:
            await pilot.press("right")
            assert "run3" in app.table.lines[1], "the name stays"
            seen |= set(header(app))
        assert (
            {*names} - {"validation/accuracy"} <= seen
            and "val/accuracy" in seen
            and not app.table.lines[0].endswith("›")
        )
        assert "‹" in app.table.lines[0]
        await pilot.press(*["left"] * len(names))
        assert header(app)[1] == "duration" and "‹" not in app.table.lines[0]


async def test_default_columns_that_give_way_are_reached_by_scrolling_too() -> None:
    app = Bench(lr_runs())
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        before = header(app)
        assert "started" not in before and "data" not in before
        for _ in range(12):
            await pilot.press("right")
        assert {"data", "started"} <= set(header(app)) and app.table.lines[0].count("‹") == 1
        await pilot.press(*["left"] * 12)
        assert header(app) == before


async def test_folded_repeats_have_the_mean_and_deviation_of_a_chosen_metric() -> None:
    choose_columns("validation/accuracy", "seed", "duration")
    app = Bench(
        [replace(one, group="seeds", settings={**one.settings, "train.lr": 0.1}) for one in lr_runs(2)]
    )
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("F")
        assert ".150 ±.071" in app.table.lines[1] and "varied" in app.table.lines[1]
        assert "1m30 ±42s" in app.table.lines[1]


@pytest.mark.parametrize("width", [20, 24, 30])
async def test_one_wide_column_is_cut_and_not_lost(width: int) -> None:
    save_layout(
        Store.default().home,
        runs=RunsLayout(columns=(ColumnChoice(name="host", width=60), ColumnChoice(name="lr"))),
    )
    app = Bench(lr_runs())
    async with app.run_test(size=(width, 12)) as pilot:
        await pilot.pause()
        assert "hos" in app.table.lines[0]
        await pilot.press("right")
        assert "lr" in app.table.lines[0]


async def test_the_best_values_are_read_while_a_column_shows_them(make_run: MakeRun, until: Until) -> None:
    make_run("low", accuracy=0.5)
    make_run("high", accuracy=0.75)
    choose_columns("best:train/loss")
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        table = app.query_one(RunTable)
        await until(pilot, lambda: all("." in line.split()[-1] for line in table.lines[1:3]))
        losses = [row.ranges for row in app.runs.rows or []]
        assert all(isinstance(one, dict) and one["train/loss"].min <= one["train/loss"].max for one in losses)


@pytest.mark.parametrize("word", ["columns", "fields", "width"])
async def test_the_palette_knows_the_columns_by_other_names(
    word: str, make_run: MakeRun, until: Until
) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        await pilot.press("3", "colon", *word)
        await until(pilot, "Runs: columns")
