"""On a GPU: recipes 1 and 2 and a residual network against the eager loop by hand, bf16 against fp32, utilisation."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import material
from tests.benchmarks.measure import Row, Scale, alternate, median, python, quotient, run_json
from tests.benchmarks.recipes import Trained, by_hand, check_same_work, ours
from workbench.system.gpu import list_gpus

NONE = "not measured (no GPU here)"
RESNET = ("train.optimizer=sgd", "train.momentum=0.9", "train.lr=0.05", "train.batch_size=128", "train.augment=",
          "train.validation=0", "train.schedule=constant", "train.weight_decay=0")  # fmt: skip
FAST = "cifar10-fast"


def has_gpu() -> bool:
    """Whether torch can use one; asked in a process of its own."""
    return bool(json.loads(python("-c", "import torch; print(int(torch.cuda.is_available()))").stdout))


def busy_while(work: Callable[[], Trained]) -> tuple[Trained, float]:
    """What `work` gave, and the largest load of a GPU meanwhile (0 to 1): training is only a part of a process."""
    seen, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            seen.extend(gpu.load or 0.0 for gpu in list_gpus())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        return work(), max(seen)
    finally:
        over.set()
        thread.join()


def rows(place: Path, scale: Scale) -> list[Row]:
    """Every figure that needs a GPU."""
    whats = ("recipe 1", "recipe 2", "resnet on 60,000 images")
    if not has_gpu():
        goals = ("≥ 5×", "≥ 5×", "> 1×")
        held = [
            Row(f"{w} on a GPU: eager loop", NONE, NONE, "-", g) for w, g in zip(whats, goals, strict=True)
        ]
        rest = ("resnet: bf16 against fp32", "resnet: utilisation", f"{FAST}: seconds to its accuracy")
        return [*held, *(Row(f"{what}, on a GPU", NONE, NONE, "-", "-") for what in rest)]
    data, home = place / "data", place / "home"
    material.grayscale(data, scale.grayscale)
    material.color(data, scale.grayscale, 10_000)
    found = [
        _against_eager(what, recipe, data, home, scale)
        for what, recipe in zip(whats, ("mnist-mlp", "cifar10-convnet"), strict=False)
    ]
    return [*found, *_resnet(whats[2], data, home, scale), _fast(data, home)]


def _against_eager(what: str, recipe: str, data: Path, home: Path, scale: Scale) -> Row:
    # The same arithmetic on both sides: what differs is how steps are launched.
    sets = ("train.device=cuda", "train.precision=fp32")
    ours(recipe, data, home, 1, *sets)
    sides = alternate(
        scale.rounds,
        {
            "ours": lambda: ours(recipe, data, home, scale.epochs, *sets),
            "eager": lambda: by_hand(recipe, data, scale.epochs, 1, "--device", "cuda"),
        },
    )
    check_same_work(sides["ours"][0], sides["eager"][0])
    return _row(f"{what} on a GPU: eager loop", sides["ours"], sides["eager"], "≥ 5×")


def _row(what: str, mine: list[Trained], theirs: list[Trained], goal: str) -> Row:
    a, b = ([one.seconds for one in side] for side in (mine, theirs))
    shown = [f"{median([s.examples / s.seconds for s in side]):,.0f} images/s" for side in (mine, theirs)]
    return Row(what, shown[0], shown[1], f"{quotient(b, a)}×", goal)


def _resnet(what: str, data: Path, home: Path, scale: Scale) -> list[Row]:
    place = home / "resnet.toml"
    place.write_text('[data]\nname = "cifar10"\n[model]\nname = "resnet"\n', encoding="utf-8")

    def train(precision: str) -> Trained:
        sets = (*RESNET, "train.device=cuda", f"train.precision={precision}")
        return ours(str(place), data, home, scale.epochs, *sets)

    train("bf16")
    loads: list[float] = []

    def watched() -> Trained:
        done, load = busy_while(lambda: train("bf16"))
        loads.append(load)
        return done

    sides = alternate(
        scale.rounds,
        {
            "bf16": watched,
            "eager": lambda: by_hand(
                "resnet", data, scale.epochs, 1, "--device", "cuda", "--precision", "bf16"
            ),
            "fp32": lambda: train("fp32"),
        },
    )
    assert (sides["bf16"][0].steps, sides["bf16"][0].examples) == (
        sides["eager"][0].steps,
        sides["eager"][0].examples,
    )
    return [
        _row(f"{what} on a GPU, bf16: eager loop", sides["bf16"], sides["eager"], "> 1×"),
        _row("resnet: bf16 against fp32, on a GPU", sides["bf16"], sides["fp32"], "> 1×"),
        Row("resnet: utilisation, on a GPU", f"{max(loads):.0%}", "-", "-", "-"),
    ]


def _fast(data: Path, home: Path) -> Row:
    document = run_json("-m", "workbench", "train", FAST, "--device", "cuda", "--json", home=home, data=data)
    reached = f"{document['seconds']['train']:.1f} s to {document['test']['accuracy']:.4f}"
    what = f"{FAST} on the images at hand (its figure is of CIFAR-10), on a GPU"
    return Row(what, reached, "3.83 s to 0.9401 on an A100", "-", "-")
