"""Folders of photographs of 500×375 and of 12 megapixels: ours against ImageFolder and a DataLoader with two workers.

Both sides train on random-resized crops, ours of images that are decoded once and stored larger than the crops.

The model is the small convolutional network on 64×64, so that what is measured is the way of the images and not
the arithmetic of a large model.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import material
from tests.benchmarks.measure import Row, Scale, run_json, say
from workbench.io.atomic_files import read_json
from workbench.runs.jsonl import read_lines
from workbench.runs.metrics import MetricLine, StepRow
from workbench.system.processes import process_age

SIDE = 64
STORE = 74
BATCH = 32
WORKERS = 2


def epochs_by_script(folder: str, epochs: int, workers: int = WORKERS) -> dict[str, Any]:
    """Seconds of each epoch as a plain script does it, of its process before the first (`load`), and all examples."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    from tests.tutorials.cifar10_convnet import Net

    torch.manual_seed(0)
    steps = [
        transforms.RandomResizedCrop(SIDE),
        transforms.ToTensor(),
        transforms.Normalize((0.5,) * 3, (0.5,) * 3),
    ]
    found = datasets.ImageFolder(str(Path(folder) / "train"), transforms.Compose(steps))
    net = Net()
    net.fc1 = nn.Linear(16 * 13 * 13, 120)
    net.forward = lambda x: net.fc3(_dense(net, net.pool(net.conv2(_first(net, x)).relu()).flatten(1)))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    loader = DataLoader(found, batch_size=BATCH, shuffle=True, num_workers=workers)
    spent, examples, load = [], 0, process_age()
    for _ in range(epochs):
        began = time.perf_counter()
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
            examples += len(labels)
        spent.append(time.perf_counter() - began)
    return {"seconds": spent, "load": load, "examples": examples, "classes": found.classes}


def _first(net: Any, x: Any) -> Any:
    return net.pool(net.conv1(x).relu())


def _dense(net: Any, x: Any) -> Any:
    return net.fc2(net.fc1(x).relu()).relu()


def ours(folder: Path, home: Path, epochs: int) -> dict[str, Any]:
    """What a run took to load (decoding where it must), and each of its epochs; with the same keys otherwise."""
    settings = [f"train.epochs={epochs}", f"train.batch_size={BATCH}", f"data.size={SIDE}", f"data.store={STORE}",
                "train.augment=resized-crop",
                "train.validation=0", "train.optimizer=adam", "train.lr=0.001"]  # fmt: skip
    sets = [part for text in settings for part in ("--set", text)]
    options = ["--dataset", f"folder:{folder}", "--model", "convnet"]
    document = run_json("-m", "workbench", "train", *options, *sets, "--json", home=home)
    place = Path(document["directory"])
    steps = [row for row in read_lines(place / "metrics.jsonl", MetricLine) if isinstance(row, StepRow)]
    per_epoch = [
        sum(row.wall.seconds or 0.0 for row in steps if epoch < row.epoch <= epoch + 1)
        for epoch in range(epochs)
    ]
    setup: dict[str, Any] = read_json(place / "setup.json") or {}
    return {
        "seconds": per_epoch, "load": document["seconds"]["load"], "classes": setup["classes"],
        "examples": setup["counts"]["train"] * document["epoch"], "way": setup["execution"]["data"],
    }  # fmt: skip


def rows(place: Path, scale: Scale) -> list[Row]:
    """First and second epoch, and the first of a second run, of both sizes."""
    large = max(20, scale.photographs // 20)
    return [
        *_rows(place / "small", (500, 375), scale.photographs, "> 2×"),
        *_rows(place / "large", (4000, 3000), large, "> 3×"),
    ]


def _rows(place: Path, size: tuple[int, int], count: int, goal: str) -> list[Row]:
    """The rows of one size; `goal`: of the first epoch."""
    folder, home = place / "photos", place / "home"
    width, height = size
    say(f"  making {count:,} photographs of {width}×{height}")
    material.photographs(folder, count, size=size, test=20)
    say("  ours, then theirs, then ours again")
    mine = ours(folder, home, 2)
    theirs = run_json("-m", "tests.benchmarks.photographs", str(folder), "2")
    again = ours(folder, home, 1)
    assert mine["examples"] == theirs["examples"] and mine["classes"] == theirs["classes"]
    what = f"{count:,} photographs of {width}×{height}, crops of {SIDE}×{SIDE}, small convnet"
    # Ours decodes before its first step; the imports count on both sides.
    first = theirs["load"] + theirs["seconds"][0]
    pairs = [
        ("first epoch, with loading", mine["load"] + mine["seconds"][0], first, goal),
        ("second epoch", mine["seconds"][1], theirs["seconds"][1], "> 1×"),
        ("first epoch of a second run, with loading", again["load"] + again["seconds"][0], first, "> 1×"),
    ]
    return [
        Row(
            f"{what}, {name}: ImageFolder with {WORKERS} workers",
            f"{a:.2f} s",
            f"{b:.2f} s",
            f"{b / a:.2f}×",
            aim,
        )
        for name, a, b, aim in pairs
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("epochs", type=int)
    options = parser.parse_args()
    print(json.dumps(epochs_by_script(options.folder, options.epochs)))
