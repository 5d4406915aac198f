"""The recipes, shortened, through the command line; with generated images where their own are not here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.gpu.checks import Env, Failed
from tests.gpu.support import check_device, check_learned, setup_json, train_recipe
from workbench.runs.run_folder import RunFolder

EPOCHS = {"cifar10-convnet": 1, "mnist-mlp": 1, "mnist-mlp-logits": 1, "cifar10-fast": 3, "digits-mlp": 5}
CHANCE = 0.1
"""Of ten classes."""


def train(env: Env, recipe: str) -> str:
    """Trains on the device to its end, and learns."""
    epochs = EPOCHS.get(recipe, 20)
    # Recipes of points set one thread, and are small: on a GPU they show that small models run there too.
    sets = [f"train.epochs={epochs}"]
    if not env.on_gpu:
        sets += ["train.threads=1", f"train.epochs={min(epochs, 2)}"]
    report = train_recipe(recipe, *sets, device=env.device)
    setup = setup_json(report)
    check_device(env, setup.get("device", ""))
    check_learned(RunFolder(Path(report["directory"])))
    if env.on_gpu:
        _check_result(report)
    return f"{_figure(report)}, {report['seconds']['train']:.1f} s of training, {setup['execution']['step']}"


def _check_result(report: dict[str, Any]) -> None:
    accuracy = (report.get("test") or {}).get("accuracy")
    if accuracy is not None and accuracy < 2 * CHANCE:
        raise Failed(f"test accuracy {accuracy:.3f}, which is hardly above chance")


def _figure(report: dict[str, Any]) -> str:
    test = report.get("test") or {}
    name = "accuracy" if test.get("accuracy") is not None else "loss"
    return f"test {name} {test.get(name, float('nan')):.4f}"
