"""Each recipe of CONTRIBUTING.md works as it is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contributing.recipes import copy_with, read_recipes
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report

MAX_LINES = 10

Python = Callable[..., str]


@pytest.fixture
def edited(request: pytest.FixtureRequest, tmp_path: Path) -> Python:
    """Runs `python ARGUMENTS` on a copy of the package with the recipe that the test names; returns its stdout."""
    root = copy_with(request.param, tmp_path / "checkout")

    def python(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(root)}
        process = subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    return python


def recipe(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("edited", [name], indirect=True)


def workbench(python: Python, *arguments: str) -> Any:
    """The JSON document that a command prints."""
    return json.loads(python("-m", "workbench", *arguments, "--json"))


def train(python: Python, *arguments: str, epochs: int = 1) -> Any:
    sets = ("--set", f"train.epochs={epochs}", "--set", "train.threads=1")
    return workbench(python, "train", *arguments, *sets)


LIST_OPTIONS = """
import asyncio
from textual.app import App
from textual.widgets import OptionList
from workbench.ui.experiment import choosers, model_choosers

async def main():
    app = App()
    async with app.run_test() as pilot:
        await app.mount({finder})
        options = app.query_one(OptionList)
        for _ in range(600):  # they come after the chooser is mounted
            if options.option_count:
                break
            await pilot.pause(0.1)
        print(*(option.prompt for option in options.options))

asyncio.run(main())
"""


def options_of(python: Python, finder: str) -> list[str]:
    """The words in the options that a chooser of the screen shows."""
    return python("-c", LIST_OPTIONS.format(finder=finder)).split()


def test_the_recipes_are_those_and_short() -> None:
    recipes = read_recipes()
    assert set(recipes) == {"dataset", "model", "setting", "pane", "command", "export format"}
    for name, edits in recipes.items():
        assert sum(len(edit.added) for edit in edits) <= MAX_LINES, name


@recipe("dataset")
def test_a_new_dataset_is_listed_chosen_and_trained_on(edited: Python) -> None:
    assert "rings" in [row["name"] for row in workbench(edited, "datasets")]
    assert "rings" in options_of(edited, "choosers.dataset_finder()")
    assert train(edited, "--dataset", "rings", "--model", "mlp")["status"] == "finished"


@recipe("model")
def test_a_new_model_is_listed_chosen_and_trained(edited: Python) -> None:
    assert "two-layer" in [row["name"] for row in workbench(edited, "models")]
    assert "two-layer" in options_of(edited, "model_choosers.model_finder('classification')")
    assert train(edited, "--dataset", "digits", "--model", "two-layer")["status"] == "finished"


@recipe("setting")
def test_a_new_setting_is_listed_checked_and_used(edited: Python, digits_run: RunFolder) -> None:
    settings = {row["key"]: row for row in workbench(edited, "train", "--settings")}
    assert settings["train.adam_eps"]["help"] == "epsilon in the denominator of Adam"
    form = (
        "from workbench.ui.experiment.draft import Draft\nprint(*(field.key for field in Draft().fields()))"
    )
    assert "train.adam_eps" in edited("-c", form)
    default = read_report(digits_run)
    assert default.experiment is not None and default.test is not None
    epochs = default.experiment.train.epochs
    changed = train(edited, "digits-mlp", "--set", "train.adam_eps=0.5", epochs=epochs)
    assert changed["experiment"]["train"]["adam_eps"] == 0.5
    assert changed["test"]["loss"] != default.test["loss"]


@recipe("pane")
def test_a_new_pane_has_its_key(edited: Python) -> None:
    edited("-c", PRESS_0)


PRESS_0 = """
import asyncio
from workbench.core import paths
from workbench.ui.app import WorkbenchApp
from workbench.ui.cache.pane import CachePane
from textual.widgets import Static

async def main():
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        for _ in range(200):
            await pilot.press("0")
            if app.query(CachePane) and app.query_one(CachePane).is_on_screen and app.query_one(CachePane).size.area:
                break
        pane = app.query_one(CachePane)
        assert pane.is_on_screen and pane.size.area, pane.region
        assert str(pane.query_one(Static).render()) == str(paths.caches())

asyncio.run(main())
"""


@recipe("command")
def test_a_new_command_is_listed_and_runs(edited: Python, digits_run: RunFolder) -> None:
    assert "print the size of a run" in edited("-m", "workbench", "--help")
    assert int(edited("-m", "workbench", "du", "last")) > digits_run.metrics.stat().st_size


@recipe("export format")
def test_a_new_export_format_is_offered_and_written(
    edited: Python, digits_run: RunFolder, tmp_path: Path
) -> None:
    assert "jsonl" in options_of(edited, "choosers.export_format_finder()")
    target = tmp_path / "metrics.jsonl"
    edited("-m", "workbench", "export", "last", "--format", "jsonl", "--to", str(target))
    assert target.read_bytes() == digits_run.metrics.read_bytes()
