"""Exports the best weights as a file for `torch.load(..., weights_only=True)`."""

from __future__ import annotations

from pathlib import Path

from workbench.inference.run_checkpoint import load_run_checkpoint
from workbench.io.torch_files import save
from workbench.runs.run_folder import RunFolder


def write(folder: RunFolder, target: Path) -> None:
    """Write `{"model": state dict, "spec": model, shape, classes, task and preprocessing}`."""
    content, _ = load_run_checkpoint(folder.path)
    with target.open("wb") as file:
        save({"v": 1, "model": content["model"], "spec": content["spec"]}, file)
