from __future__ import annotations

from typing import Any

import pytest
from textual.app import App, ComposeResult

from tests.ui.screen_steps import TextOf
from workbench.runs.run_report import CRASH_REASON
from workbench.runs.scores import Score
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.ui.base.messages import GroupSelected, RunOpened, RunSelected
from workbench.ui.runs.pane import RunsPane, run_details
from workbench.ui.runs.run_table import RunTable


class Bench(App[None]):
    """The pane alone."""

    def __init__(self, rows: list[RunSummary] | None) -> None:
        super().__init__()
        self.start, self.heard = rows, list[str]()
        self.groups: list[frozenset[str]] = []

    def compose(self) -> ComposeResult:
        yield RunsPane()

    @property
    def pane(self) -> RunsPane:
        return self.query_one(RunsPane)

    @property
    def table(self) -> RunTable:
        return self.query_one(RunTable)

    def on_mount(self) -> None:
        self.pane.rows = self.start
        self.pane.focus_content()

    def on_run_selected(self, event: RunSelected) -> None:
        self.heard.append(f"selected {event.run_id}")

    def on_group_selected(self, event: GroupSelected) -> None:
        self.groups.append(event.run_ids)

    def on_run_opened(self, event: RunOpened) -> None:
        self.heard.append(f"opened {event.run_id}")


def row(number: int, name: str = "", status: Status = Status.FINISHED, **more: Any) -> RunSummary:
    values = {"epoch": 3, "epochs_total": 9, "dataset": "digits", "model": "mlp", **more}
    return RunSummary(id=f"2026{number:04d}", name=name or f"run{number}", status=status, **values)


def rows(count: int) -> list[RunSummary]:
    return [row(number) for number in range(count, 0, -1)]


async def test_a_row_shows_name_epochs_best_metric_and_eta(text_of: TextOf) -> None:
    app = Bench([row(1, "lr3e-2", Status.RUNNING, epoch=14, epochs_total=60, best=0.913, eta=11280.0)])
    async with app.run_test(size=(46, 12)) as pilot:
        await pilot.pause()
        line = next(line for line in text_of(app).splitlines() if "lr3e-2" in line)
        for part in ("▸", "●", "14/60", ".913", "3h08"):
            assert part in line


async def test_long_names_are_cut_where_they_are_alike() -> None:
    app = Bench(
        [row(n, f"digits-convnet-with-a-long-name-lr0.0{n}") for n in (1, 2)] + [row(3, "resnet-" * 9)]
    )
    async with app.run_test(size=(46, 12)) as pilot:
        await pilot.pause()
        shown = [line.split()[1] for line in app.table.lines[1:4]]
        assert [name[-6:] for name in shown if name.startswith("digits")] == ["lr0.02", "lr0.01"]
        assert [name[-1] for name in shown if name.startswith("resnet")] == ["…"]


async def test_the_cursor_selects_and_enter_opens() -> None:
    app = Bench(rows(3))
    async with app.run_test(size=(46, 12)) as pilot:
        await pilot.press("down", "down", "down", "up", "enter")
        assert app.heard == ["selected 20260002", "selected 20260001", "selected 20260002", "opened 20260002"]


async def test_a_click_selects_and_a_second_one_opens() -> None:
    app = Bench(rows(5))
    async with app.run_test(size=(46, 12)) as pilot:
        await pilot.click(RunTable, offset=(5, 3))
        await pilot.click(RunTable, offset=(5, 3), times=2)
        assert app.heard == ["selected 20260003", "opened 20260003"]


async def test_cursor_and_scroll_position_stay_when_runs_are_added_or_removed(text_of: TextOf) -> None:
    app = Bench(rows(200))
    async with app.run_test(size=(46, 14)) as pilot:
        await pilot.press("pagedown", "pagedown", "down")
        selected, before = app.table.key, text_of(app)
        app.pane.rows = [row(201), *rows(200)]
        await pilot.pause()
        assert app.table.key == selected
        assert text_of(app).splitlines()[2:8] == before.splitlines()[2:8]
        app.pane.rows = [r for r in rows(200) if r.id != selected]
        await pilot.pause()
        assert app.table.key is not None


async def test_two_hundred_runs_from_end_to_end(text_of: TextOf) -> None:
    app = Bench(rows(200))
    async with app.run_test(size=(46, 14)) as pilot:
        await pilot.press("G")
        assert app.table.key == "20260001"
        assert "run1 " in text_of(app)
        await pilot.press("g")
        assert app.table.key == "20260200"


async def test_only_changed_lines_are_redrawn() -> None:
    app = Bench(rows(8))
    async with app.run_test(size=(46, 14)) as pilot:
        await pilot.pause()
        refreshed: list[int] = []
        app.table.refresh = lambda *regions, **_: refreshed.extend(r.y for r in regions)  # type: ignore[assignment]
        app.pane.rows = [row(8, epoch=4), *rows(7)]
        await pilot.pause()
        assert refreshed == [1]
        app.pane.rows = [row(8, epoch=4), *rows(7)]
        await pilot.pause()
        assert refreshed == [1]


async def test_the_filter_requires_every_word() -> None:
    app = Bench([row(3, "lr1"), row(2, "lr2", Status.FAILED), row(1, "lr22", Status.FAILED, model="resnet")])
    async with app.run_test(size=(46, 12)) as pilot:
        app.pane.filter = "LR2 failed"
        await pilot.pause()
        assert [r.name for r in app.pane.visible_rows] == ["lr2", "lr22"]
        assert "2 of 3" in app.pane.headline
        app.pane.filter = "resnet lr"
        await pilot.pause()
        assert [r.name for r in app.pane.visible_rows] == ["lr22"]
        app.pane.filter = "nothing like it"
        await pilot.pause()
        assert app.table.key is None
        await pilot.press("down", "enter")
        assert app.heard == []


async def test_the_filter_is_an_expression_and_one_that_is_not_finished_changes_nothing() -> None:
    app = Bench([row(3, "lr1", epoch=5), row(2, "lr2", Status.FAILED), row(1, "lr22", model="resnet")])
    async with app.run_test(size=(60, 12)) as pilot:

        async def names(text: str) -> list[str]:
            app.pane.filter = text
            await pilot.pause()
            return [one.name for one in app.pane.visible_rows]

        assert await names("model=mlp !status:failed") == ["lr1"]
        assert await names("epoch<") == ["lr1"]
        assert app.pane.headline.startswith("/epoch<──'epoch<' needs a value")
        assert await names("epoch<5") == ["lr2", "lr22"]
        app.pane.rows = []
        await pilot.pause()
        assert app.pane.visible_rows == []
        assert app.pane.complete_filter("mod") == ["model"]


async def test_repeats_fold_into_one_row(text_of: TextOf) -> None:
    def repeat(number: int, accuracy: float, lr: float) -> RunSummary:
        settings = {"seed": number, "train.lr": lr}
        return row(number, f"lr{lr}", test={"accuracy": accuracy}, monitor="accuracy", settings=settings)

    app = Bench([repeat(1, 0.90, 0.1), repeat(2, 0.92, 0.1), repeat(3, 0.94, 0.1), repeat(4, 0.5, 0.2)])
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.press("F", "o", "g", "down")
        await pilot.pause()
        assert [one.name for one in app.pane.visible_rows] == ["lr0.1", "lr0.2"], "sorted by the mean"
        assert "lr0.1 ×3" in text_of(app)
        assert ".920 ±.020" in text_of(app)
        await pilot.press("g", "space")
        assert app.pane.marked == {"20260001", "20260002", "20260003"}, "its runs are marked"
        await pilot.press("g")
        await pilot.pause()
        assert "3 runs test 0.9200 ± 0.0200, 95 % interval 0.8703 to 0.9697" in " ".join(text_of(app).split())
        await pilot.press("F")
        await pilot.pause()
        assert len(app.pane.visible_rows) == 4


async def test_a_folded_row_tells_its_runs_and_is_the_one_that_starts_next() -> None:
    queued = [row(number, "g", Status.QUEUED, group="g", position=number) for number in (2, 3)]
    app = Bench([row(1, "other"), *queued])
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.press("g")
        await pilot.pause()
        assert [one.position for one in app.pane.visible_rows] == [2, 3, None] and not app.groups
        await pilot.press("F", "g")
        await pilot.pause()
        assert [one.position for one in app.pane.visible_rows] == [2, None]
        assert app.groups[-1] == {"20260002", "20260003"}
        await pilot.press("down")
        await pilot.pause()
        assert app.groups[-1] == frozenset()


async def test_folded_rows_whose_names_begin_alike_stay_distinct(text_of: TextOf) -> None:
    repeats = [
        row(
            2 * number + seed,
            "long",
            group="digits-convnet-with-a-long-name",
            settings={"train.lr": lr, "seed": seed},
        )
        for number, lr in enumerate((0.1, 0.01), 1)
        for seed in (0, 1)
    ]
    app = Bench(repeats)
    async with app.run_test(size=(46, 12)) as pilot:
        await pilot.press("F")
        await pilot.pause()
        assert "lr=0.1 ×2" in text_of(app) and "lr=0.01 ×2" in text_of(app)


async def test_marking_a_range_and_all_that_the_filter_shows() -> None:
    app = Bench(rows(6))
    async with app.run_test(size=(60, 12)) as pilot:

        async def marked(*keys: str) -> str:
            await pilot.press(*keys)
            await pilot.pause()
            return "".join(sorted(run_id[-1] for run_id in app.pane.marked))

        assert await marked("shift+down", "shift+down") == "456"
        assert await marked("M", "M") == ""
        assert await marked("g", "v", "down", "down") == "456"
        assert await marked("up") == "56", "a range also becomes smaller"
        assert await marked("v", "down", "down") == "56"
        app.pane.filter = "run2 or run1"
        assert await marked("M") == "1256"
        assert await marked("v") == "1256"
        app.pane.marked = frozenset()
        assert "range" not in app.pane.headline


async def test_sorting_by_every_column_and_back() -> None:
    app = Bench([row(1, "b", best=0.9), row(2, "a", best=None), row(3, "c", Status.RUNNING, best=0.8)])
    async with app.run_test(size=(46, 12)) as pilot:
        await pilot.pause()
        orders = {}
        while app.pane.arrangement.order not in orders:
            orders[app.pane.arrangement.order] = "".join(r.name for r in app.pane.visible_rows)
            await pilot.press("o")
        assert orders["run"] == "cab" and orders["val"] == "bca" and orders["name"] == "abc"
        assert orders["status"][0] == "c", "live runs come first"
        await pilot.press("O")
        assert "".join(r.name for r in app.pane.visible_rows) == "bac"


async def test_the_lowest_loss_is_the_best() -> None:
    losses = [row(1, "high", best=0.9, monitor="loss"), row(2, "low", best=0.2, monitor="loss")]
    others = [row(3, "none", monitor="loss"), row(4, "undefined", best=float("nan"), monitor="accuracy")]
    app = Bench([*losses, *others, row(5, "share", best=0.1, monitor="accuracy")])
    async with app.run_test(size=(46, 12)) as pilot:
        await pilot.pause()
        await pilot.press("o", "o")
        assert [r.name for r in app.pane.visible_rows] == ["share", "low", "high", "none", "undefined"]


@pytest.mark.parametrize(
    "name",
    ["\x1b[31mred", "\x1b]52;c;aGk=\x07", "\x9b31m", "[/]", "[red]x", "[@click=app.quit]x", "a[0", "x\ny\rz\b\0",
     "\u202egnp.exe", "caf\udce9", "数" * 3000 + "🎉" * 2000],
)  # fmt: skip
async def test_hostile_names_are_shown_as_text_on_one_row(name: str, text_of: TextOf) -> None:
    app = Bench([row(2, name, Status.FAILED, reason=f"no {name}"), row(1, "good")])
    async with app.run_test(size=(46, 12)) as pilot:
        await pilot.pause()
        shown = text_of(app)
        assert not set(shown) & {"\x1b", "\x9b", "\x07", "\b", "\r", "\0", "\u202e", "\udce9"}
        assert sum("3/9" in line for line in shown.splitlines()) == 2
        assert len(shown.split("\n")) == 12
        if name.startswith("[") or name == "a[0":
            assert name in shown
        await pilot.click(RunTable, offset=(5, 1))
        assert app.is_running


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [(Status.FAILED, "the loss became NaN at step 812", "✗ the loss became NaN at step 812"),
     (Status.CRASHED, "", f"✗ {CRASH_REASON}; r "), (Status.STOPPED, "stopped on request", "■ stopped"),
     (Status.FINISHED, "", "digits · mlp")],
)  # fmt: skip
def test_the_details_give_the_reason_why_a_run_ended(status: Status, reason: str, expected: str) -> None:
    assert expected in run_details(row(1, status=status, reason=reason)).plain


async def test_without_runs_the_pane_names_the_key_that_starts_one(text_of: TextOf) -> None:
    app = Bench([])
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        assert "Press t to train digits-mlp" in text_of(app)


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (200, 50)])
async def test_the_pane_works_at_any_size(size: tuple[int, int]) -> None:
    app = Bench(rows(30))
    async with app.run_test(size=size) as pilot:
        await pilot.press("down", "pagedown", "end")
        assert app.table.key == "20260001"


async def test_figures_name_their_split_and_equal_names_are_distinguished(text_of: TextOf) -> None:
    result = {"loss": 0.5, "accuracy": 0.312}
    app = Bench([row(1, "twin", best=0.482, test=result, monitor="accuracy"), row(2, "twin", best=0.4)])
    async with app.run_test(size=(46, 12)) as pilot:
        await pilot.pause()
        narrow = text_of(app)
        assert "test .312" in narrow and "val .400" in narrow, "the test result first"
        assert "twin …0001" in narrow and "twin …0002" in narrow
        await pilot.resize_terminal(90, 12)
        await pilot.pause()
        lines = text_of(app).splitlines()
        head, first = (next(line for line in lines if words in line) for words in ("ETA/age", "0001"))
        assert head.index("test") == first.index(".312") and head.index("val") == first.index(".482")


async def test_a_wide_list_shows_what_scripts_and_logs_have_logged(text_of: TextOf) -> None:
    rows = [
        row(1, "ours", best=0.75, best_epoch=2, monitor="accuracy"),
        row(2, "script", command="python a.py", logged=Score("", "reward", 7.5)),
        row(3, "lightning", Status.LOG, logs=("/logs/a",), format="csv", logged=Score("validation", "accuracy", 0.5)),
        row(4, "tested", Status.LOG, logs=("/logs/b",), format="csv", logged=Score("test", "accuracy", 0.25)),
    ]  # fmt: skip
    app = Bench(rows)
    async with app.run_test(size=(110, 12)):
        header, *lines = text_of(app).splitlines()
        cells = {line.split()[1]: line for line in lines[:4]}
        columns = {name: header.index(name) for name in ("test", "val", "newest")}
        assert cells["script"].index(".50") > columns["newest"] - 3 and "reward 7.50" in cells["script"]
        assert columns["val"] - 3 < cells["lightning"].index(".500") < columns["newest"]
        assert columns["test"] - 3 < cells["tested"].index(".250") < columns["val"]
        assert "◇" in cells["lightning"] and "◇" not in cells["script"]
    async with Bench(rows[:1]).run_test(size=(110, 12)) as pilot:
        assert "newest" not in text_of(pilot.app), "no column that is empty in every row"
