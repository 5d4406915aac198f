"""Draws the screenshots of the README: `python tests/screenshots.py`, or of one pane: `data`, `charts`.

It trains `digits-mlp` for real, in a home of its own, opens the real screen on it, classifies a test sample, and
writes `assets/screen.svg`; of the data pane, on drawn shapes, `assets/data.svg`; of the charts pane, on five seeds
each of two networks, `assets/charts.svg`.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from workbench.cli.follow import Follower
from workbench.config.experiment import build_experiment
from workbench.launcher import launch
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PANES, PaneId
from workbench.ui.data.sample_grid import SampleGrid

ASSETS = Path(__file__).parents[1] / "assets"
SIZE = (120, 36)
CHARTS_SIZE = (120, 26)
NETWORKS = {"wide": "model.widths=[128,64]", "narrow": "model.widths=[16]"}
SEEDS = 5


async def until(pilot: Pilot[Any], condition: Any) -> None:
    ends = time.monotonic() + 60
    while not condition():
        if time.monotonic() > ends:
            raise SystemExit("the screen did not reach the state of the screenshot")
        await pilot.pause(0.05)


async def take(path: Path) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(app.main_view.panes) == len(PANES) and app.runs.evaluations)
        await pilot.press("6", "f")
        await until(pilot, lambda: app.main_view.panes[PaneId.PHOTO].query("#samples"))
        await pilot.press("down", "down", "enter")
        photo = app.main_view.panes[PaneId.PHOTO]
        await until(pilot, lambda: photo.prediction.top and not photo.prediction.busy)
        await pilot.press("escape", "1")
        editor = app.main_view.experiment_editor
        await until(pilot, lambda: editor is not None and editor.model_summary)
        await pilot.pause(1.0)
        write(path, app)


async def take_data(path: Path) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(app.main_view.panes) == len(PANES))
        assert app.main_view.experiment_editor is not None
        app.main_view.experiment_editor.load(build_experiment(dataset="shapes", model="convnet"))
        await pilot.press("5")
        await until(pilot, lambda: app.main_view.panes[PaneId.DATA].query_one(SampleGrid).samples)
        await pilot.press("right", "right")
        await pilot.pause(1.0)
        write(path, app)


async def take_charts(path: Path) -> None:
    """The mean of five seeds each, and a band of one standard deviation around it."""
    app = WorkbenchApp()
    async with app.run_test(size=CHARTS_SIZE) as pilot:
        await until(pilot, lambda: len(app.main_view.panes) == len(PANES) and app.runs.evaluations)
        count = len(NETWORKS) * SEEDS
        await pilot.press("8", "F", "1", *["space"] * count, "8")
        charts = app.main_view.panes[PaneId.CHARTS]
        charts.filter = "(train|validation)/(loss|accuracy)$"
        await until(pilot, lambda: len(charts.overlays) >= count - 1)
        await pilot.pause(2.0)
        write(path, app)


def write(path: Path, app: WorkbenchApp) -> None:
    drawing = app.export_screenshot(title="workbench")
    # Textual refers to fonts on another server; every browser has a monospaced font.
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawing, flags=re.DOTALL), encoding="utf-8")


def main() -> None:
    panes = sys.argv[1:] or ["data", "charts", "screen"]
    with tempfile.TemporaryDirectory() as home:
        os.environ["WORKBENCH_HOME"] = home
        ASSETS.mkdir(exist_ok=True)
        if "data" in panes:
            asyncio.run(take_data(ASSETS / "data.svg"))
            print(ASSETS / "data.svg")
        if "charts" in panes:
            for (name, setting), seed in product(NETWORKS.items(), range(SEEDS)):
                sets = [setting, f"seed={seed}", "train.epochs=20"]
                experiment = build_experiment("digits-mlp", sets=sets, name=name)
                Follower(launch.start_run(experiment, "screenshots")).follow()
            asyncio.run(take_charts(ASSETS / "charts.svg"))
            print(ASSETS / "charts.svg")
        if "screen" not in panes:
            return
        for name, epochs in (("digits-wide", 15), ("digits-mlp", 40)):
            experiment = build_experiment("digits-mlp", sets=[f"train.epochs={epochs}"], name=name)
            Follower(launch.start_run(experiment, "screenshots")).follow()
        asyncio.run(take(ASSETS / "screen.svg"))
        print(ASSETS / "screen.svg")


if __name__ == "__main__":
    main()
