"""Exports the best weights as a file for `torch.load(..., weights_only=True)`."""

from __future__ import annotations

from pathlib import Path

from workbench.inference.run_checkpoint import exported_spec, load_run_checkpoint
from workbench.io.torch_files import save
from workbench.runs.run_folder import RunFolder


def write(folder: RunFolder, target: Path) -> None:
    """Write `{"model": state dict, "spec": model, shape, classes, task, preprocessing and input}`."""
    content, _ = load_run_checkpoint(folder.path)
    spec = exported_spec(folder.path, content).to_json()
    with target.open("wb") as file:
        save({"v": 1, "model": content["model"], "spec": spec}, file)
