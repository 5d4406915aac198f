"""Logs of other programs on the screen: opened from where they lie, live, marked, and with no keys that change them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.screen_steps import MakeRun, TextOf, Until, ready
from workbench.core import paths
from workbench.runs import opened_logs
from workbench.runs.opened_logs import OpenedLogs
from workbench.runs.store import Store
from workbench.ui.app import WorkbenchApp
from workbench.ui.runs.compare_screen import CompareScreen


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A folder with two runs, each in a CSV file."""
    for name in ("lr1", "lr2"):
        (tmp_path / "logs" / name).mkdir(parents=True)
        (tmp_path / "logs" / name / "log.csv").write_text("step,loss,reward\n1,2,0\n2,1,5\n3,.5,7\n")
    return tmp_path / "logs"


@pytest.fixture
def opened(tables: Path) -> Iterator[OpenedLogs]:
    logs = OpenedLogs([tables])
    yield logs
    logs.close()


async def test_the_runs_of_a_folder_are_listed_drawn_and_followed(
    tables: Path, make_run: MakeRun, text_of: TextOf, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened_logs, "SEARCH_SECONDS", 0.0)
    opened = OpenedLogs([tables])
    make_run("ours")
    app = WorkbenchApp(Store(paths.runs(), opened))
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        await until(pilot, "loss ─ .500")
        shown = text_of(app)
        assert "◇ lr1" in shown and "◇ lr2" in shown and "ours" in shown
        assert "csv log, last written" in shown.splitlines()[0]
        selected = app.runs.selected
        assert selected is not None
        with (tables / selected.name / "log.csv").open("a") as file:
            file.write("4,.25,8\n")
        await until(pilot, "loss ─ .250")
        (tables / "lr3").mkdir()
        (tables / "lr3" / "log.csv").write_text("step,loss\n1,9\n")
        await until(pilot, "◇ lr3")
    opened.close()


async def test_keys_that_change_a_run_do_not_apply_to_a_log(
    opened: OpenedLogs, until: Until, text_of: TextOf
) -> None:
    app = WorkbenchApp(Store(paths.runs(), opened))
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        keys = text_of(app).splitlines()[-1]
        assert "compare" in keys and not any(word in keys for word in ("stop", "resume", "pause"))
        for key in ("s", "r", "p", "left_square_bracket", "d", "exclamation_mark"):
            await pilot.press(key)
            await until(pilot, "is a log of another program, which can only be read")
            await pilot.press("escape")
        await pilot.press("x")
        await until(pilot, "is only shown, not in the list of runs")


async def test_logs_without_a_shared_usual_metric_are_compared(
    tables: Path, until: Until, text_of: TextOf
) -> None:
    for name in ("lr1", "lr2"):
        (tables / name / "log.csv").write_text(f"step,reward\n1,2\n2,{name[-1]}\n")
    opened = OpenedLogs([tables])
    app = WorkbenchApp(Store(paths.runs(), opened))
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        await until(pilot, "reward 2.00")
        await pilot.press("equals_sign")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await until(pilot, "1─lr2 2.00")
        await pilot.press("m")
        await until(pilot, "2─lr1 1.00")
    opened.close()
