"""Recipes 1 and 2 as the worker runs them, against a loop by hand and against the tutorial's own script."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import material
from tests.benchmarks.measure import Row, Scale, alternate, median, quotient, run_json
from workbench.io.atomic_files import read_json
from workbench.runs.jsonl import read_lines
from workbench.runs.metrics import EpochRow, MetricLine

NEAR = 0.05
"""By what part the last epoch's training losses of two sides may differ: each draws its own numbers."""


@dataclass(frozen=True)
class Trained:
    """What one side did, and the seconds its training steps took."""

    seconds: float
    steps: int
    examples: int
    loss: float | None = None
    """Mean over the last epoch's steps."""
    threads: int = 1
    total: float = 0.0
    outside: float = 0.0
    """Seconds of the whole, as reported by itself and as measured from outside."""


def ours(recipe: str, data: Path, home: Path, epochs: int, *sets: str) -> Trained:
    """`workbench train`, with metrics and checkpoints, its time from `seconds.train`."""
    settings = [part for text in (f"train.epochs={epochs}", *sets) for part in ("--set", text)]
    began = time.perf_counter()
    document = run_json("-m", "workbench", "train", recipe, *settings, "--json", home=home, data=data)
    outside = time.perf_counter() - began
    folder = Path(document["directory"])
    setup: dict[str, Any] = read_json(folder / "setup.json") or {}
    last = [row for row in read_lines(folder / "metrics.jsonl", MetricLine) if isinstance(row, EpochRow)][-1]
    seconds = document["seconds"]
    return Trained(
        seconds["train"], document["step"], setup["counts"]["train"] * document["epoch"], last.loss or 0.0,
        setup["threads"], seconds["total"], outside,
    )  # fmt: skip


def by_hand(kind: str, data: Path, epochs: int, threads: int, *options: str) -> Trained:
    """`loops`, in a process of its own."""
    arguments = [kind, str(data), "--epochs", str(epochs), "--threads", str(threads), *options]
    result = run_json("-m", "tests.benchmarks.loops", *arguments)
    return Trained(result["seconds"], result["steps"], result["examples"], result["loss"], threads)


def script(kind: str, data: Path) -> Trained:
    """An epoch of the tutorial's script, in a process of its own with torch's own number of threads."""
    result = run_json("-m", "tests.benchmarks.scripts", kind, str(data))
    return Trained(result["seconds"], result["steps"], result["examples"])


def check_same_work(a: Trained, b: Trained, epochs: int = 1) -> None:
    """Raise `AssertionError` unless `a` did `epochs` times the steps and examples of `b`, and learned as much."""
    assert a.steps == epochs * b.steps, f"{a.steps} steps against {b.steps} in each of {epochs} epochs"
    assert a.examples == epochs * b.examples, f"{a.examples} examples against {b.examples}"
    if a.loss is not None and b.loss is not None:
        assert abs(a.loss - b.loss) <= NEAR * max(a.loss, b.loss, 0.1), f"loss {a.loss} against {b.loss}"


def rows_of(recipe: str, what: str, data: Path, place: Path, scale: Scale) -> list[Row]:
    """Ours against both."""
    home, epochs = place / "home", scale.epochs
    # The thread count is timed once and kept, so that what follows is not about that.
    threads = ours(recipe, data, home, 1).threads
    found = alternate(
        scale.rounds,
        {
            "ours": lambda: ours(recipe, data, home, epochs),
            "by hand": lambda: by_hand(recipe, data, epochs, threads),
            "tutorial": lambda: script(recipe, data),
        },
    )
    check_same_work(found["ours"][0], found["by hand"][0])
    check_same_work(found["ours"][0], found["tutorial"][0], epochs)
    per_epoch = {
        name: [one.seconds / (1 if name == "tutorial" else epochs) for one in sides]
        for name, sides in found.items()
    }
    epoch = {name: f"{median(seconds):.2f} s an epoch" for name, seconds in per_epoch.items()}
    mine = epoch["ours"]
    clock = quotient([one.total for one in found["ours"]], [one.outside for one in found["ours"]])
    return [
        Row(f"{what}, {threads} threads: a loop by hand", mine, epoch["by hand"],
            str(quotient(per_epoch["ours"], per_epoch["by hand"])), "≤ 1.10"),
        Row(f"{what}: the tutorial's script", mine, epoch["tutorial"],
            f"{quotient(per_epoch['tutorial'], per_epoch['ours'])}×", "≥ 8×" if recipe == "mnist-mlp" else "≥ 10×"),
        Row(f"{what}: seconds.total and the clock outside", f"{median([o.total for o in found['ours']]):.2f} s",
            f"{median([o.outside for o in found['ours']]):.2f} s", str(clock), "about 1"),
    ]  # fmt: skip


def recipe_1(place: Path, scale: Scale) -> list[Row]:
    """The MNIST recipe on Fashion-MNIST's images."""
    data = place / "grayscale"
    what = material.grayscale(data, scale.grayscale, max(100, scale.grayscale // 6))
    return rows_of("mnist-mlp", f"recipe 1, {scale.grayscale:,} of {what}", data, place, scale)


def recipe_2(place: Path, scale: Scale) -> list[Row]:
    """The CIFAR-10 recipe on generated images."""
    data = place / "colour"
    what = material.color(data, scale.color, max(100, scale.color // 10))
    return rows_of("cifar10-convnet", f"recipe 2, {scale.color:,} {what}", data, place, scale)
