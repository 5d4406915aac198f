"""Exports the best weights as safetensors, with the description of the model in the header."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from workbench.inference.run_checkpoint import exported_spec, load_run_checkpoint
from workbench.runs.run_folder import RunFolder


def write(folder: RunFolder, target: Path) -> None:
    """Write the tensors by their name in the state dict, and the spec as JSON under `spec`."""
    content, _ = load_run_checkpoint(folder.path)
    spec = exported_spec(folder.path, content).to_json()
    tensors = {name: value.contiguous().clone() for name, value in content["model"].items()}
    save_file(tensors, target, {"format": "pt", "spec": json.dumps(spec)})
