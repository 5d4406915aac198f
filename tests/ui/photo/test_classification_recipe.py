"""A recipe that classifies, from the experiment pane to the photo pane."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from workbench.compute.protocol_records import RecipeClassifier
from workbench.core import paths
from workbench.models import catalog
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import MODULES
from workbench.ui.widgets.chooser import Chooser

Until = Callable[..., Any]


async def test_chosen_among_the_recipes_it_asks_for_a_picture(until: Until, home: Path) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: set(app.panes) == set(MODULES))
        await pilot.press("2", "a")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        await pilot.press(*"photo-coffee")
        await until(pilot, "a cup of coffee, by AlexNet")
        await pilot.press("enter")
        await until(pilot, "the weights are not here")
        path = home / "alexnet.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({}, path)
        await pilot.press(*str(path), "enter")
        await until(pilot, lambda: bool(app.query("#paths")))
        assert app.front == "6"
        chosen = app.panes["6"].chosen  # type: ignore[attr-defined]
        assert chosen == RecipeClassifier("photo-coffee", str(path))
        await pilot.press("escape")
        await until(pilot, "by photo-coffee")


async def test_with_its_weights_here_nothing_is_asked(until: Until, home: Path) -> None:
    info = catalog.find("alexnet")
    path = paths.weights() / info.weights_file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: set(app.panes) == set(MODULES))
        await pilot.press("2", "a")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        await pilot.press(*"photo-alexnet")
        await until(pilot, "a dog, by AlexNet")
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.query("#paths")))
        assert app.panes["6"].chosen == RecipeClassifier("photo-alexnet")  # type: ignore[attr-defined]
