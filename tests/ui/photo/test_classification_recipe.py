"""A recipe that classifies, from the experiment pane to the photo pane."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.ui.screen_steps import Until, choose, ready
from workbench.compute.protocol_records import RecipeClassifier
from workbench.core import paths
from workbench.models import catalog
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PaneId


async def test_choosing_the_recipe_asks_for_an_image(until: Until, home: Path) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        await pilot.press("2", "a")
        await choose(pilot, until, "photo-coffee", "a cup of coffee with AlexNet")
        await until(pilot, "The weights are not on this machine")
        path = home / "alexnet.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({}, path)
        await pilot.press(*str(path), "enter")
        await until(pilot, lambda: bool(app.query("#paths")))
        assert app.navigation.front is PaneId.PHOTO
        chosen = app.main_view.panes[PaneId.PHOTO].selected_classifier  # type: ignore[attr-defined]
        assert chosen == RecipeClassifier("photo-coffee", str(path))
        await pilot.press("escape")
        await until(pilot, "by photo-coffee")


async def test_no_question_is_asked_when_the_weights_exist(until: Until, home: Path) -> None:
    info = catalog.find("alexnet")
    path = paths.weights() / info.weights_file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        await pilot.press("2", "a")
        await choose(pilot, until, "photo-alexnet", "a dog with AlexNet")
        await until(pilot, lambda: bool(app.query("#paths")))
        assert app.main_view.panes[PaneId.PHOTO].selected_classifier == RecipeClassifier("photo-alexnet")  # type: ignore[attr-defined]
