"""Draws the README's pictures of the screen: `python tests/screenshots.py`, or with `data` only the data pane.

It trains `digits-mlp` for real, in a home of its own, opens the real screen on it, classifies a test sample, and
writes `assets/screen.svg`; of the data pane, on drawn shapes, `assets/data.svg`.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from workbench.cli.follow import Follower
from workbench.config.experiment import build
from workbench.launcher import launch
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import MODULES
from workbench.ui.data.sample_grid import SampleGrid

ASSETS = Path(__file__).parents[1] / "assets"
SIZE = (120, 36)


async def until(pilot: Pilot[Any], condition: Any) -> None:
    ends = time.monotonic() + 60
    while not condition():
        if time.monotonic() > ends:
            raise SystemExit("the screen did not come to what the picture should show")
        await pilot.pause(0.05)


async def take(path: Path) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(app.panes) == len(MODULES) and app.evaluations)
        await pilot.press("6", "f")
        await until(pilot, lambda: app.panes["6"].query("#samples"))
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: app.panes["6"].answer.top and not app.panes["6"].answer.busy)
        await pilot.press("escape", "1")
        await until(pilot, lambda: app.experiment_pane is not None and app.experiment_pane.facts)
        await pilot.pause(1.0)
        write(path, app)


async def take_data(path: Path) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(app.panes) == len(MODULES))
        assert app.experiment_pane is not None
        app.experiment_pane.load(build(dataset="shapes", model="convnet"))
        await pilot.press("5")
        await until(pilot, lambda: app.panes["5"].query_one(SampleGrid).samples)
        await pilot.press("right", "right")
        await pilot.pause(1.0)
        write(path, app)


def write(path: Path, app: WorkbenchApp) -> None:
    drawing = app.export_screenshot(title="workbench")
    # The fonts that Textual names lie on somebody else's server; every browser has a monospaced one.
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawing, flags=re.DOTALL), encoding="utf-8")


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["WORKBENCH_HOME"] = home
        ASSETS.mkdir(exist_ok=True)
        asyncio.run(take_data(ASSETS / "data.svg"))
        print(ASSETS / "data.svg")
        if sys.argv[1:] == ["data"]:
            return
        for name, epochs in (("digits-wide", 15), ("digits-mlp", 40)):
            experiment = build("digits-mlp", sets=[f"train.epochs={epochs}"], name=name)
            Follower(launch.start(experiment, "screenshots")).follow()
        asyncio.run(take(ASSETS / "screen.svg"))
        print(ASSETS / "screen.svg")


if __name__ == "__main__":
    main()
