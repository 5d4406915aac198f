from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.core.settings_schema import Choice
from workbench.io.atomic_files import write_json
from workbench.models import torchvision_models
from workbench.models.factory import build_model
from workbench.models.preprocessing import Preprocessing
from workbench.runs.run_folder import RunFolder, create_run_folder

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes the folder of a run with a checkpoint for each of `seeds`, the first of them the best."""

    def make(seeds: tuple[int, ...] = (0,), shape: tuple[int, ...] = (3, 12, 12), **spec: Any) -> RunFolder:
        run = create_run_folder(tmp_path / "runs", "made")
        about: dict[str, Any] = {
            "model": {"name": "mlp", "widths": [16], "dropout": 0.5},
            "shape": list(shape),
            "classes": ["cat", "dog", "owl"],
            "task": "classification",
            "preprocessing": Preprocessing(mean=(0.5,), std=(0.25,)).to_dict(),
            **spec,
        }
        write_json(run.experiment, {"v": 1, "model": about["model"], "data": {"name": "shapes"}, "seed": 1})
        entries = [_checkpoint(run, about, step, seed) for step, seed in enumerate(seeds, 1)]
        write_json(run.manifest, {"v": 1, "checkpoints": entries})
        return run

    return make


def _checkpoint(run: RunFolder, spec: dict[str, Any], step: int, seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    options = {k: v for k, v in spec["model"].items() if k != "name"}
    choice = Choice(spec["model"]["name"], options)
    outputs = len(spec["classes"]) or 1
    built = build_model(choice, shape=tuple(spec["shape"]), outputs=outputs, task=spec["task"], load=False)
    path = run.checkpoints / f"step-{step}.pt"
    torch.save({"model": built.module.state_dict(), "spec": spec, "step": step}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    place = {"step": step, "epoch": step, "position": 0, "metrics_offset": 0}
    return {"file": path.name, "sha256": digest, **place, "best": step == 1}


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """A network as torchvision publishes it, with random weights, and their file."""
    torch.manual_seed(0)
    module = torchvision_models.torchvision_models().squeezenet1_1(weights=None).eval()
    path = tmp_path_factory.mktemp("weights") / "w.pth"
    torch.save(module.state_dict(), path)
    return path, module
