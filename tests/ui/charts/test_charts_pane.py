from __future__ import annotations

import math
from array import array
from pathlib import Path

import pytest
from PIL import Image
from textual.app import App

from workbench.logs.series import Series
from workbench.runs.journal import Attempt, SettingChange
from workbench.runs.reader import RunView
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store
from workbench.ui.charts.pane import ChartsPane
from workbench.ui.services.saved_layout import load_layout
from workbench.ui.widgets.chooser import Chooser
from workbench.ui.widgets.text_line import TextLine


def make_view(name="a", steps=200, metrics=("train/loss", "train/accuracy", "val/loss", "lr"), shift=0.0):
    view = RunView(RunFolder(Path("/nowhere") / name), version=1, status=Status.FINISHED)
    for number, metric in enumerate(metrics):
        series = view.logged[metric] = Series()
        values = [math.exp(-step / 50) + number + shift for step in range(steps)]
        series.extend(array("q", range(steps)), array("d", values), array("d", map(float, range(steps))))
    return view


class Shown(App):
    def __init__(self):
        super().__init__()
        self.requested = []

    def compose(self):
        yield ChartsPane()

    def on_overlays_requested(self, event):
        self.requested.append(event.run_ids)

    @property
    def pane(self):
        return self.query_one(ChartsPane)

    @property
    def text(self):
        return "\n".join(self.pane.grid.lines)

    @property
    def shown(self):
        return [slot.name for slot in self.pane.grid.page.slots]


async def show(pilot, view, *overlays):
    pane = pilot.app.pane
    pane.overlays = list(overlays)
    pane.marked = frozenset(run.folder.id for run in overlays)
    pane.view = view
    pane.focus_content()
    await pilot.pause()
    await pilot.pause()


async def test_all_metrics_are_shown_by_sections():
    async with Shown().run_test(size=(120, 36)) as pilot:
        await show(pilot, make_view())
        assert pilot.app.shown == ["val/loss", "lr", "train/loss", "train/accuracy"]
        assert "others (2)" in pilot.app.text and "train (2)" in pilot.app.text
        assert "▸val/loss 2.02" in pilot.app.text and "▲" in pilot.app.text
        assert pilot.app.pane.headline == "a"


async def test_the_arrows_select_a_chart_and_turn_the_page_and_enter_enlarges_it():
    names = [f"m{n:02}" for n in range(30)]
    async with Shown().run_test(size=(80, 20)) as pilot:
        await show(pilot, make_view(metrics=names))
        per_page = len(pilot.app.shown)
        assert 1 < per_page < 30 and "1/" in pilot.app.pane.headline
        await pilot.press(*["right"] * per_page)
        assert pilot.app.shown[0] == names[per_page] == pilot.app.pane.grid.selected
        await pilot.press("up")
        assert pilot.app.shown[0] == "m00"
        await pilot.press("pagedown", "enter")
        await pilot.pause()
        assert pilot.app.shown == [names[per_page]]
        await pilot.press("right")
        assert pilot.app.shown == [names[per_page + 1]]
        await pilot.press("escape")
        await pilot.pause()
        assert len(pilot.app.shown) == per_page and pilot.app.pane.grid.selected == names[per_page + 1]
        await pilot.press("G")
        assert pilot.app.pane.grid.selected == "m29"
        await pilot.press("g")
        assert pilot.app.pane.grid.selected == "m00"


async def test_the_cursor_stands_in_all_charts_with_the_values_there():
    async with Shown().run_test(size=(120, 36)) as pilot:
        await show(pilot, make_view())
        await pilot.press(*["comma"] * 20)
        await pilot.pause()
        at = pilot.app.pane.options.cursor
        assert 50 < at < 150 and f"step {at:.0f}" in pilot.app.pane.headline
        value = math.exp(-math.floor(at) / 50)
        for name, base in (("train/loss", 0), ("train/accuracy", 1), ("val/loss", 2), ("lr", 3)):
            shown = f"{value + base:.3f}".removeprefix("0") if base == 0 else f"{value + base:.2f}"
            assert f"{name} {shown}" in pilot.app.text
        rows = [line for line in pilot.app.pane.grid.lines if "│" in line]
        assert max(line.count("│") for line in rows) == 4  # two axes and two cursors beside each other
        await pilot.press("f")
        assert pilot.app.pane.options.cursor is None


async def test_marked_runs_are_overlaid_with_their_values_sorted():
    async with Shown().run_test(size=(120, 36)) as pilot:
        a, b, c = make_view("a"), make_view("b", shift=0.5), make_view("c", metrics=("other/x",))
        await show(pilot, a, b)
        assert pilot.app.requested[-1] == ("b",)
        assert "train/loss 2 .519 1 .019" in pilot.app.text
        legend = str(pilot.app.query_one("#legend").content)
        assert "1 a" in legend and "2 b" in legend
        await show(pilot, a, b, c)
        assert "other/x" in pilot.app.shown and "2 runs" in pilot.app.pane.headline  # those that are marked
        await show(pilot, a)
        assert "train/loss .019" in pilot.app.text and not pilot.app.query_one("#legend").display


async def test_all_runs_of_a_folded_row_are_drawn_unless_others_are_marked():
    async with Shown().run_test(size=(120, 36)) as pilot:
        pane, views = pilot.app.pane, [make_view(name) for name in "abc"]
        await show(pilot, views[0])
        pane.group = frozenset("ab")
        await pilot.pause()
        assert pilot.app.requested[-1] == ("a", "b")
        pane.overlays = views
        await pilot.pause()
        assert "2 runs" in pane.headline
        pane.marked = frozenset("c")
        await pilot.pause()
        assert [view.folder.id for view in pane.shown_views] == ["a", "c"]
        pane.marked = pane.group = frozenset()
        await pilot.pause()
        assert [view.folder.id for view in pane.shown_views] == ["a"]


async def test_the_filter_selects_charts_and_says_if_nothing_matches():
    async with Shown().run_test(size=(120, 36)) as pilot:
        await show(pilot, make_view())
        await pilot.press("enter")
        pilot.app.pane.filter = "loss"
        await pilot.pause()
        assert pilot.app.shown == ["train/loss", "val/loss"] and "/loss" in pilot.app.pane.headline
        assert pilot.app.pane.complete_filter("loss va") == ["loss val/loss"]
        pilot.app.pane.filter = "nothing"
        await pilot.pause()
        assert "No metric matches 'nothing'." in pilot.app.text
        await pilot.press("comma", "enter", "down", "greater_than_sign", "y")
        pilot.app.pane.filter = ""
        await pilot.pause()
        assert "train/loss" in pilot.app.text


async def test_the_keys_change_how_all_charts_are_drawn():
    async with Shown().run_test(size=(120, 36)) as pilot:
        await show(pilot, make_view())
        pane = pilot.app.pane
        await pilot.press("a", "a", "A", "v", "m", "o")
        assert (pane.options.smoothing, pane.options.log, pane.options.span) == (0.3, "y", "all")
        assert pane.options.x == "epoch" and "smooth .300──log y──with outliers" in pane.headline
        await pilot.press("m", "m", "m", "greater_than_sign")
        assert pane.options.window == (99.5, 199.0)
        await pilot.press("left_parenthesis")
        assert pane.options.window == (49.75, 149.25)
        await pilot.press("less_than_sign", "b")
        assert pane.options.window is None
        await pilot.pause()
        assert len(pilot.app.shown) == 1
        await pilot.press("b", "b", "b", "b")
        await pilot.pause()
        assert len(pilot.app.shown) == 4


async def test_a_click_places_the_cursor_and_the_wheel_zooms():
    async with Shown().run_test(size=(120, 36)) as pilot:
        await show(pilot, make_view())
        pane = pilot.app.pane
        slot = pane.grid.page.slots[1]
        await pilot.click(pane.grid, offset=(slot.x + 7 + (slot.width - 7) // 2, slot.y + 2))
        assert pane.grid.selected == slot.name and pane.options.cursor == pytest.approx(99.5, abs=3)
        pane.grid.post_message(pane.grid.Zoomed(0.5))
        await pilot.pause()
        low, high = pane.options.window
        assert high - low == pytest.approx(99.5)


async def test_new_values_are_drawn_and_only_changed_cells_are_sent():
    async with Shown().run_test(size=(120, 36)) as pilot:
        view = make_view()
        await show(pilot, view)
        regions = []
        pilot.app.pane.grid.refresh = lambda *changed, **_: regions.extend(changed)
        pilot.app.pane.view = view
        await pilot.pause()
        assert regions == []
        view.logged["lr"].append(199, 3.5)
        pilot.app.pane.view = view
        await pilot.pause()
        assert "lr 3.50" in pilot.app.text
        assert 0 < sum(region.width for region in regions) < 60


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (60, 8), (80, 24), (200, 50)])
async def test_any_size_and_incomplete_records_are_drawn(size, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with Shown().run_test(size=size) as pilot:
        await show(pilot, None)
        assert "No run" in pilot.app.text
        bare = RunView(RunFolder(Path("/nowhere/bare")))
        await show(pilot, bare)
        assert "Loading" in pilot.app.text
        bare.version = 1
        await show(pilot, bare)
        assert "No metrics" in pilot.app.text
        odd = make_view("odd", steps=3, metrics=("a\x1b[31m/b", "only", "nan", "x" * 300))
        odd.logged["nan"].values[:] = array("d", [math.nan, math.inf, -math.inf])
        odd.logged["empty"] = Series()
        odd.logged["only"].steps[:] = array("q", [7, 7, 7])
        await show(pilot, odd, make_view("b", metrics=()))
        for key in ("v", "v", "a", "m", "comma", "m", "comma", "m", "greater_than_sign", "G", "enter", "y"):
            await pilot.press(key)
        await pilot.pause()
        assert "\x1b" not in pilot.app.text


async def test_a_hidden_pane_reads_and_draws_nothing():
    async with Shown().run_test(size=(120, 36)) as pilot:
        pilot.app.pane.display = False
        await pilot.pause()
        pilot.app.requested.clear()
        await show(pilot, make_view())
        pilot.app.pane.marked = frozenset({"b"})
        await pilot.pause()
        assert pilot.app.requested == [] and pilot.app.pane.grid.page.slots == ()
        pilot.app.pane.display = True
        await pilot.pause()
        await pilot.pause()
        assert pilot.app.requested == [("b",)] and "train/loss" in pilot.app.text


async def test_the_page_is_exported_to_a_file_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with Shown().run_test(size=(120, 36)) as pilot:
        await show(pilot, make_view())
        await pilot.press("e")
        await pilot.pause()
        await pilot.press(*"csv", "enter")
        await pilot.app.workers.wait_for_complete()
        lines = (tmp_path / "charts-a.csv").read_text().splitlines()
        assert len({line.split(",")[0] for line in lines[1:]}) == 4


async def test_repeats_are_drawn_as_their_mean_with_its_deviation():
    views = [make_view(f"r{n}", shift=n) for n in range(3)] + [make_view("other", shift=10.0)]
    async with Shown().run_test(size=(120, 36)) as pilot:
        pilot.app.pane.rows = [
            RunSummary(id=view.folder.id, name="base", status=Status.FINISHED, group="g" * (number < 3))
            for number, view in enumerate(views)
        ]
        await show(pilot, views[0], *views)
        pilot.app.pane.view = views[0]
        await pilot.press("F")
        await pilot.pause()
        pane = pilot.app.pane
        assert "means of repeats" in pane.headline
        assert "×3" in pane.query_one("#legend", TextLine).text
        assert "val/loss 4 12.0 1 3.02±1.00" in pilot.app.text
        await pilot.press("F")
        await pilot.pause()
        assert "±" not in pilot.app.text


async def test_groups_of_repeats_may_have_more_runs_than_there_are_colors():
    views = [make_view(f"{'ab'[n // 5]}{n}", shift=n // 5 + n / 10) for n in range(10)]
    async with Shown().run_test(size=(120, 36)) as pilot:
        pane = pilot.app.pane
        pane.rows = [
            RunSummary(
                id=view.folder.id, name=view.folder.id[0], status=Status.FINISHED, group=view.folder.id[0]
            )
            for view in views
        ]
        await show(pilot, views[0], *views)
        assert len(pilot.app.requested[-1]) == len(pane.shown_views) == 8
        await pilot.press("F")
        await pilot.pause()
        assert len(pilot.app.requested[-1]) == len(pane.shown_views) == 10
        assert pane.query_one("#legend", TextLine).text.count("×5") == 2
        await pilot.press("F")  # while all are still there
        await pilot.pause()
        assert len(pane.shown_views) == 8 and "×" not in pane.query_one("#legend", TextLine).text


async def test_the_filter_and_how_charts_are_drawn_are_remembered_for_the_runs_folder():
    async with Shown().run_test(size=(120, 36)) as pilot:
        await show(pilot, make_view())
        await pilot.press("a", "v", "m", "b", "o", "o", "F")
        pilot.app.pane.filter = "loss"
        await pilot.pause()
    async with Shown().run_test(size=(120, 36)) as pilot:
        await show(pilot, make_view())
        pane = pilot.app.pane
        assert pilot.app.shown == ["train/loss"], "one chart"
        assert pane.headline.startswith(
            "a──/loss──by epoch──smooth .300──log y──without outliers──means of repeats"
        )
        await pilot.press("comma")  # where the cursor is is not remembered
        pane.filter = ""
        await pilot.pause()
    saved = load_layout(Store.default().home).charts
    assert (saved.filter, saved.side, saved.means, saved.x) == ("", 1, True, "epoch")


async def test_the_y_axis_of_a_chart_is_fixed_and_follows_again():
    async with Shown().run_test(size=(120, 36)) as pilot:
        await show(pilot, make_view())
        pane = pilot.app.pane

        async def choose_range(text):
            await pilot.press("O")
            await pilot.pause()
            await pilot.press(*text, "enter")
            await pilot.pause()

        assert pane.grid.selected == "val/loss"
        await choose_range("2..x")
        assert isinstance(pilot.app.screen, Chooser), "not a range"
        await pilot.press("escape")
        await choose_range("2.2..2.8")
        assert pane.options.limits == {"val/loss": (2.2, 2.8)} and "y 2.2..2.8" in pane.headline
        assert "↑ max 3.00  ↓ min 2.02" in pilot.app.text
        await pilot.press("right")
        assert "y 2.2" not in pane.headline
        await pilot.press("left")
        await choose_range("follow")
        assert pane.options.limits == {} and "↓" not in pilot.app.text


async def test_events_are_marked_and_described_at_the_cursor():
    view = make_view()
    view.journal = [
        SettingChange(setting="train.lr", before=0.1, value=0.05, step=50),
        Attempt(attempt=2, from_step=120),
    ]
    async with Shown().run_test(size=(120, 36)) as pilot:
        await show(pilot, view)
        assert pilot.app.text.count("▴") == 2 * len(pilot.app.shown)
        pane = pilot.app.pane
        await pilot.press("n")
        assert pane.headline == "a──step 50──lr 0.1 → 0.05"
        await pilot.press("n")
        assert pane.headline == "a──step 120──resumed" and "resumed" in pane.text_to_copy()
        await pilot.press("n")
        assert pane.options.cursor == 50
        await pilot.press(*["comma"] * 5)
        assert "lr" not in pane.headline
        await show(pilot, view, make_view("b"))
        await pilot.press("n", "n")
        assert "──1 " in pane.headline, "which run it was"


async def test_a_png_of_the_page_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with Shown().run_test(size=(120, 36)) as pilot:
        await show(pilot, make_view())
        await pilot.press("e")
        await pilot.pause()
        await pilot.press(*"png", "enter")
        await pilot.app.workers.wait_for_complete()
        with Image.open(tmp_path / "charts-a.png") as picture:
            assert picture.format == "PNG" and picture.width > picture.height
