"""The main workflow by the command line, on real data of every kind, with real worker processes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

FASHION = Path("/usr/share/datasets/fashion-mnist")


def train(*arguments: str, code: int = 0, cwd: Path | None = None) -> dict[str, Any]:
    """Run `workbench train … --json` and return its document."""
    command = [sys.executable, "-m", "workbench", "train", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == code, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def sets(**settings: object) -> list[str]:
    """`--set` arguments; `train__epochs=2` is `train.epochs=2`."""
    return [
        part for key, value in settings.items() for part in ("--set", f"{key.replace('__', '.')}={value}")
    ]


def draw(folder: Path, kind: str, count: int, seed: int) -> None:
    """Images of a class: a colored shape on noise, in mixed sizes and modes as in real folders."""
    folder.mkdir(parents=True)
    dice = random.Random(seed)
    for number in range(count):
        width, height = dice.randint(40, 90), dice.randint(40, 90)
        grey = dice.randint(0, 90)
        image = Image.new("RGB", (width, height), (grey, grey, dice.randint(0, 90)))
        pen, side = ImageDraw.Draw(image), dice.randint(24, 38)
        left, top = dice.randint(0, width - side), dice.randint(0, height - side)
        box = (left, top, left + side, top + side)
        if kind == "disc":
            pen.ellipse(box, fill=(230, dice.randint(30, 90), 40))
        elif kind == "box":
            pen.rectangle(box, fill=(40, 200, dice.randint(30, 90)))
        else:
            pen.polygon(
                [(left, top + side), (left + side, top + side), (left + side // 2, top)], fill=(60, 80, 240)
            )
        if number % 10 == 0:
            image.quantize(16).save(folder / f"{number}.png")
        else:
            image.save(folder / f"{number}.jpg")


def support_weighted(document: dict[str, Any]) -> float:
    rows = document["per_class"]
    return sum(r["accuracy"] * r["support"] for r in rows if r["support"]) / sum(r["support"] for r in rows)


def test_fashion_mnist_with_a_dense_network() -> None:
    """The real 60,000, from Debian's package."""
    if not FASHION.is_dir():
        assert "CI" not in os.environ, "CI installs dataset-fashion-mnist; here it is missing"
        pytest.skip("apt-get install dataset-fashion-mnist brings the 60,000 images this test trains on")
    result = train("--dataset", "fashion-mnist", "--model", "mlp", *sets(train__epochs=2))
    assert result["status"] == "finished"
    assert result["test"]["accuracy"] >= 0.84
    assert sum(row["support"] for row in result["per_class"]) == 10_000
    assert support_weighted(result) == pytest.approx(result["test"]["accuracy"])


def test_a_folder_of_color_images(tmp_path: Path) -> None:
    pets = tmp_path / "pets"
    for seed, kind in enumerate(("disc", "box", "tent")):
        draw(pets / "train" / kind, kind, 60, seed)
        draw(pets / "test" / kind, kind, 15, 10 + seed)
    (pets / "train" / "disc" / "broken.jpg").write_bytes(b"not an image")
    (pets / "train" / "disc" / "empty.png").write_bytes(b"")
    result = train("--dataset", f"folder:{pets}", "--model", "convnet", *sets(train__epochs=15))
    assert result["status"] == "finished"
    assert [row["class"] for row in result["per_class"]] == ["box", "disc", "tent"]
    assert [row["support"] for row in result["per_class"]] == [15, 15, 15]
    assert result["test"]["accuracy"] >= 0.8
    setup = json.loads((Path(result["directory"]) / "setup.json").read_text())
    assert len(setup["skipped_files"]) == 2


def test_few_imbalanced_images_with_a_resnet_whose_head_is_trained_first(tmp_path: Path) -> None:
    """200 images (130 / 50 / 20), torchvision's ResNet-18: one epoch of the head alone, then all layers."""
    images = tmp_path / "images"
    for seed, (kind, count) in enumerate({"disc": 130, "box": 50, "tent": 20}.items()):
        draw(images / kind, kind, count, seed)
    result = train(
        "--dataset", f"folder:{images}", "--model", "resnet18",
        *sets(model__pretrained="no", model__input_size=32, train__epochs=4, train__freeze_epochs=1,
              train__class_weights="balanced", train__monitor="balanced_accuracy", train__batch_size=16),
    )  # fmt: skip
    assert result["status"] == "finished"
    rows = {row["class"]: row for row in result["per_class"]}
    assert [rows[kind]["support"] for kind in ("disc", "box", "tent")] == [26, 10, 4]
    assert result["test"]["balanced_accuracy"] >= 0.7
    assert support_weighted(result) == pytest.approx(result["test"]["accuracy"])


DATA = """
import torch

def make(points: int = 400):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(points, 1, 6, 6, generator=generator)
    labels = (inputs.mean((1, 2, 3)) > 0).long()
    cut = points * 3 // 4
    return (inputs[:cut], labels[:cut]), (inputs[cut:], labels[cut:])
"""
NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, shape, width=32):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(shape).numel(), width), nn.ReLU(),
                                    nn.Linear(width, classes))

    def forward(self, x):
        return self.layers(x)
"""


def test_a_custom_model_and_a_custom_dataset(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(DATA)
    (tmp_path / "net.py").write_text(NET)
    result = train(
        "--dataset", "./data.py:make", "--model", "./net.py:Net",
        *sets(train__epochs=30, train__lr=0.01, data__points=600, model__width=16), cwd=tmp_path,
    )  # fmt: skip
    assert result["status"] == "finished"
    assert result["test"]["accuracy"] >= 0.9
    assert sum(row["support"] for row in result["per_class"]) == 150


def test_an_error_in_user_code_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text("def make():\n    return 1 / 0\n")
    result = train("--dataset", "./data.py:make", "--model", "mlp", code=2, cwd=tmp_path)
    assert result["status"] == "failed"
    assert "ZeroDivisionError" in result["reason"]
    assert "data.py" in result["reason"]
    assert "\n" not in result["reason"]
