"""Every recipe that trains: started by one key from the experiment pane, to its end, beside its published result."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from workbench.config.recipes import download_hint, load_recipe, recipe_files
from workbench.runs.run_report import read_report
from workbench.runs.status import Status
from workbench.runs.store import Store
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PANES, PaneId
from workbench.ui.widgets.chooser import Chooser

SECONDS = 120
FEWER = {"digits-mlp": "2", "two-clusters-sgd": "3"}
"""Epochs of recipes that would take longer than a test should, set in the form."""
LEFT_OUT = {"cifar10-fast"}
"""Recipes for a GPU."""


async def until(pilot: Pilot[Any], condition: Callable[[], Any], what: str) -> None:
    ends = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > ends:
            pytest.fail(f"no {what} on\n{shown(pilot)}")
        await pilot.pause(0.05)


def shown(pilot: Pilot[Any]) -> str:
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


async def start(pilot: Pilot[Any], app: WorkbenchApp, recipe: str) -> None:
    """Choose a recipe with keys alone, and press `t`."""
    pane: Any = app.main_view.panes[PaneId.EXPERIMENT]
    await pilot.press("2", "a")
    await until(pilot, lambda: isinstance(app.screen, Chooser), "recipes to choose from")
    await pilot.press(*recipe)
    await until(pilot, lambda: recipe in shown(pilot), recipe)
    await pilot.press("enter")
    await until(pilot, lambda: pane.draft.recipe == recipe, "the chosen recipe")
    if recipe in FEWER:
        pane.draft.set("train.epochs", FEWER[recipe])
    before = len(app.runs.rows or [])
    await pilot.press("t")
    await until(pilot, lambda: len(app.runs.rows or []) > before, f"a run of {recipe}")


@pytest.mark.usefixtures("mnist", "cifar10")
async def test_each_recipe_by_one_key_to_its_published_figure() -> None:
    recipes = {path.stem: load_recipe(path.stem) for path in recipe_files()}
    wanted = [name for name, r in recipes.items() if r.get("do", "train") == "train" and name not in LEFT_OUT]
    app = WorkbenchApp()
    async with app.run_test(size=(140, 44)) as pilot:
        await until(pilot, lambda: set(app.main_view.panes) == set(PANES), "panes")
        for name in wanted:
            await start(pilot, app, name)
        await until(
            pilot, lambda: not any(row.status.live for row in app.runs.rows or []), "the end of all runs"
        )
        assert {row.name: row.status for row in app.runs.rows or []} == dict.fromkeys(wanted, Status.FINISHED)
        for name in wanted:
            await beside_the_published(pilot, app, name, recipes[name].get("reference"))


async def beside_the_published(
    pilot: Pilot[Any], app: WorkbenchApp, name: str, reference: dict[str, Any] | None
) -> None:
    """Select the run of a recipe: the classes pane has the published figure and ours."""
    run = next(row.id for row in app.runs.rows or [] if row.name == name)
    app.updates.select(run)
    await until(
        pilot, lambda: app.runs.mirror is not None and app.runs.mirror.view.exit, f"the record of {name}"
    )
    compared = read_report(Store.default().find(run)).reference
    assert (compared is None) == (reference is None)
    if reference is not None:
        assert (
            compared is not None
            and compared.ours is not None
            and compared.published == reference["published"]
        )
        pane: Any = app.main_view.panes[PaneId.CLASSES]
        await pilot.press("4")
        await until(pilot, lambda: "published" in "\n".join(lines(pane)), f"the published figure of {name}")


def lines(pane: Any) -> list[str]:
    return [line for view in pane.query("CellView") for line in view.lines]


def test_missing_data_names_the_download_command() -> None:
    assert download_hint("cifar10") == "workbench fetch cifar10-convnet downloads it"
