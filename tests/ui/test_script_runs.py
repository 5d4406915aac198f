"""Runs of scripts on the screen: listed, plotted by any metric, with classes, images and the keys that apply."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.ui.screen_steps import TextOf, Until, ready
from workbench.ui.app import WorkbenchApp
from workbench.ui.classes.evaluated_samples_screen import EvaluatedSamplesScreen
from workbench.ui.plots.pane import PlotsPane

SCRIPT = """
import workbench
run = workbench.init(name="mine", config={"lr": 0.1})
for step in range(50):
    run.log({"loss": 2 / (step + 1), "val/accuracy": step / 50, "reward": -step})
run.log_evaluation(["cat", "dog", "cat"], ["cat", "cat", "cat"], paths=["a.png", "b.png", "c.png"])
"""


@pytest.fixture
def script_run(tmp_path: Path) -> None:
    """A run of a script that has logged metrics and an evaluation of three images."""
    for name, color in (("a", "red"), ("b", "green"), ("c", "blue")):
        Image.new("RGB", (8, 8), color).save(tmp_path / f"{name}.png")
    (tmp_path / "job.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "job.py"], check=True, cwd=tmp_path)


async def test_a_script_is_listed_with_its_newest_value_and_plotted(
    script_run: None, text_of: TextOf, until: Until
) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        await until(pilot, "val .980")
        await until(pilot, "loss ─ .040")
        assert "step 49" in text_of(app)
        assert "epoch 0" not in text_of(app)
        pane = app.query_one(PlotsPane)
        seen = []
        for _ in range(5):
            seen.append(pane.visible_metrics()[1])
            await pilot.press("3", "m")
        assert [metric.label for metric in seen if metric] == [
            "val/accuracy", "reward", "accuracy", "balanced accuracy", "macro-F1",
        ]  # fmt: skip


async def test_keys_of_a_training_do_not_apply_to_a_script(
    script_run: None, text_of: TextOf, until: Until
) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        await until(pilot, "mine")
        keys = text_of(app).splitlines()[-1]
        assert "resume" in keys
        assert "pause" not in keys
        await pilot.press("left_square_bracket")
        await until(pilot, "mine is a script")


async def test_the_images_of_a_scripts_mistakes_are_shown(script_run: None, until: Until) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        await until(pilot, "dog")
        await pilot.press("4", "enter")
        await until(pilot, lambda: isinstance(app.screen, EvaluatedSamplesScreen))
        await until(pilot, "dog→cat")
        await until(pilot, "▀")
