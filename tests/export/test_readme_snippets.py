"""README's code for exported files gives the answers of `classify`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.worker.support import run_until
from workbench.cli.main import run
from workbench.config.experiment import experiment_from_dict
from workbench.core.user_code import load_object
from workbench.inference.classifier import Classifier
from workbench.io.atomic_files import write_json
from workbench.runs.run_folder import RunFolder, create_run_folder

README = Path(__file__).parents[2] / "README.md"
CODE = """
import torch
from torch import nn

def make():
    y = torch.arange(40) % 3
    x = torch.randint(0, 256, (40, {channels}, 8, 8), dtype=torch.uint8) // (1 + y[:, None, None, None])
    return (x, y), (x[:9], y[:9]), ["ant", "bee", "cat"]

class Net(nn.Sequential):
    def __init__(self, classes, shape):
        super().__init__(nn.Conv2d(shape[0], 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(classes))
        self(torch.zeros(2, *shape))
"""


def snippets() -> Iterator[str]:
    """The Python blocks of README's section on exported files."""
    section = README.read_text(encoding="utf-8").partition("## Exported files\n")[2].partition("\n## ")[0]
    return iter(re.findall(r"^```python\n(.*?)^```$", section, re.M | re.S))


def trained(home: Path, code: Path) -> RunFolder:
    content = {
        "name": "own", "data": {"name": f"{code}:make"}, "model": {"name": f"{code}:Net"},
        "train": {"epochs": 1, "threads": 1, "device": "cpu", "batch_size": 8},
    }  # fmt: skip
    folder = create_run_folder(home / "runs", "own")
    write_json(folder.experiment, experiment_from_dict(content).to_dict())
    run_until(folder, None)
    return folder


@pytest.mark.parametrize("channels", [1, 3])
def test_readme_uses_exported_files_right(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    code = tmp_path / "own.py"
    code.write_text(CODE.replace("{channels}", str(channels)))
    folder = trained(home, code)
    monkeypatch.chdir(tmp_path)
    assert run(["export", folder.id, "--format", "onnx", "--to", "run.onnx"]) == 0
    assert run(["export", folder.id, "--format", "pytorch", "--to", "run.pt"]) == 0
    noise = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save("dog.png")
    expected = Classifier.from_run(folder.path, device="cpu").classify([Image.open("dog.png")]).numpy()
    names: dict[str, Any] = {"Net": load_object(f"{code}:Net")}
    onnx, weights = snippets()
    exec(onnx, names)
    np.testing.assert_allclose(names["probabilities"], expected, atol=1e-5)
    assert names["classes"] == ["ant", "bee", "cat"]
    with torch.no_grad():
        exec(weights, names)
    np.testing.assert_allclose(names["outputs"].softmax(1).numpy(), expected, atol=1e-5)
