"""Images that a run has logged, on the screen: those of a script, and those in the log of another program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from tests.ui.screen_steps import TextOf, Until, ready
from workbench.core import paths
from workbench.runs.logged_images import has_logged_images, list_logged_images
from workbench.runs.opened_logs import OpenedLogs
from workbench.runs.reader import RunReader
from workbench.runs.store import Store
from workbench.ui.app import WorkbenchApp
from workbench.ui.data.logged_images_screen import LoggedImagesScreen
from workbench.ui.data.sample_grid import SampleGrid
from workbench.ui.widgets.image_view import ImageView

SCRIPT = """
import numpy, workbench
run = workbench.init(name="mine")
for step in (10, 20, 30):
    run.log_image("inputs/first", numpy.full((8, 8, 3), step, "uint8"), step=step)
run.log_image("filters", numpy.zeros((8, 8), "uint8"), step=20)
run.log({"loss": 1.0}, step=30)
"""


@pytest.fixture
def script_run(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "job.py"], check=True, cwd=tmp_path)


async def test_the_images_of_a_script_are_gone_through_step_by_step_and_shown_in_a_grid(
    script_run: None, text_of: TextOf, until: Until
) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        await until(pilot, lambda: app.runs.view is not None and app.runs.view.version > 0)
        await pilot.press("8")
        await until(pilot, "I images")
        await pilot.press("I")
        await until(pilot, lambda: isinstance(app.screen, LoggedImagesScreen))
        await until(pilot, "inputs/first  step 30 (3/3)  name 2/2")
        screen = app.screen
        assert isinstance(screen, LoggedImagesScreen) and screen.enlarged
        view = screen.query_one(ImageView)

        async def shows(text: str, brightness: int) -> None:
            await until(pilot, text)
            await until(pilot, lambda: view.image is not None and view.image.getpixel((0, 0)) in {
                brightness, (brightness,) * 3
            })  # fmt: skip

        await shows("step 30 (3/3)", 30)
        await pilot.press("left", "left", "left")  # there is none before the first
        await shows("step 10 (1/3)", 10)
        await pilot.press("up")  # the only one, although it is later
        await shows("filters  step 20 (1/1)  name 1/2", 0)
        await pilot.press("down")
        await shows("inputs/first  step 20 (2/3)  name 2/2", 20)
        await pilot.press("G")
        await shows("step 30 (3/3)", 30)
        await pilot.press("enter")
        await until(pilot, "4 images of mine, newest first")
        await until(pilot, "▀")
        shown = text_of(app)
        positions = [shown.index(caption) for caption in ("30 inputs/first", "20 filters", "20 inputs/first")]
        assert positions == sorted(positions)
        assert "inputs/first  step 30  (1 of 4)" in shown
        await pilot.press("f")
        await until(pilot, "3 images inputs/first of mine")
        await pilot.press("escape", "right", "right", "enter")  # the middle one of its name
        await shows("step 20 (2/3)", 20)
        await pilot.press("escape")
        await until(pilot, lambda: screen.query_one(SampleGrid).size.height > 5)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not screen)


async def test_the_images_in_a_log_are_shown_and_new_ones_appear(tmp_path: Path, until: Until) -> None:
    with SummaryWriter(str(tmp_path / "logs" / "tb")) as writer:
        writer.add_image("sample", np.full((3, 8, 8), 200, np.uint8), 1)
        writer.add_scalar("loss", 1.0, 1)
        writer.flush()
        opened = OpenedLogs([tmp_path / "logs"])
        app = WorkbenchApp(Store(paths.runs(), opened))
        async with app.run_test(size=(100, 30)) as pilot:
            await ready(pilot, until)
            await until(pilot, lambda: app.runs.view is not None and bool(app.runs.view.logged_images))
            await pilot.press("8", "I")
            await until(pilot, "sample  step 1 (1/1)")
            await until(pilot, "▀")
            writer.add_image("sample", np.full((3, 8, 8), 100, np.uint8), 2)
            writer.flush()
            await until(pilot, "sample  step 2 (2/2)")  # the newest is followed
            await until(pilot, "2 images of tb")
            await pilot.press("left")
            writer.add_image("sample", np.full((3, 8, 8), 50, np.uint8), 3)
            writer.flush()
            await until(pilot, "sample  step 1 (1/3)")
        opened.close()


async def test_a_run_without_images_says_so(tmp_path: Path, until: Until) -> None:
    (tmp_path / "a.csv").write_text("step,loss\n1,2\n")
    opened = OpenedLogs([tmp_path / "a.csv"])
    app = WorkbenchApp(Store(paths.runs(), opened))
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot, until)
        await until(pilot, lambda: app.runs.view is not None and app.runs.view.version > 0)
        await pilot.press("I")
        await until(pilot, "a has logged no images")
    opened.close()


def test_an_image_in_a_log_that_is_gone_is_no_error(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "tb")) as writer:
        writer.add_image("sample", np.zeros((3, 8, 8), np.uint8), 1)
    opened = OpenedLogs([tmp_path / "tb"])
    reader = RunReader(opened.folders[0])
    view = reader.read_all()
    assert has_logged_images(view)
    (image,) = list_logged_images(view)
    assert (image.name, image.step, image.path.parent) == ("sample", 1, tmp_path / "tb")
    opened.close()
    assert list_logged_images(view) == [image]
