"""Classifying a folder: `workbench classify` against the tutorials' lines, one image at a time."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import material
from tests.benchmarks.measure import Row, Scale, alternate, median, quotient, run_json, say

MODEL = "squeezenet1_0"


def one_at_a_time(folder: str, weights: str) -> dict[str, Any]:
    """As the introductions do it: open, transform, `unsqueeze`, softmax; the first label of every image."""
    began = time.perf_counter()
    import torch
    from PIL import Image
    from torchvision import models, transforms

    to_input = transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    net = models.get_model(MODEL)
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.eval()
    first = {}
    with torch.no_grad():
        for path in sorted(Path(folder).rglob("*.jpg")):
            batch = to_input(Image.open(path)).unsqueeze(0)
            first[str(path)] = int(torch.softmax(net(batch)[0], 0).argmax())
    return {"seconds": time.perf_counter() - began, "first": first}


def ours(folder: Path, weights: Path, home: Path) -> dict[str, Any]:
    """The command, from its start to its end."""
    began = time.perf_counter()
    document = run_json(
        "-m", "workbench", "classify", str(folder), "--model", MODEL, "--weights", str(weights), "--top", "1",
        "--json", home=home,
    )  # fmt: skip
    first = {row["path"]: row["top"][0]["index"] for row in document["results"]}
    return {"seconds": time.perf_counter() - began, "first": first}


def make_weights(path: Path) -> None:
    """Random weights, the same every time."""
    import torch
    from torchvision import models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(models.get_model(MODEL).state_dict(), path)


def agreement(a: dict[str, int], b: dict[str, int]) -> float:
    """Part of the images of which both say the same; raises `AssertionError` where they are not of the same."""
    assert a.keys() == b.keys()
    return sum(a[path] == b[path] for path in a) / len(a)


def rows(place: Path, scale: Scale) -> list[Row]:
    """Whole processes, imports and all."""
    folder, weights = place / "photos", place / "weights.pth"
    say(f"  making {scale.classified:,} photographs of 500×375")
    material.photographs(folder, scale.classified)
    make_weights(weights)
    found = alternate(
        2,
        {
            "ours": lambda: ours(folder, weights, place / "home"),
            "one at a time": lambda: run_json(
                "-m", "tests.benchmarks.classifying", str(folder), str(weights)
            ),
        },
    )
    mine, theirs = ([one["seconds"] for one in found[name]] for name in ("ours", "one at a time"))
    same = agreement(found["ours"][0]["first"], found["one at a time"][0]["first"])
    assert same > 0.99, f"only {same:.1%} are answered alike"
    rate = [f"{scale.classified / median(seconds):.0f} images/s" for seconds in (mine, theirs)]
    what = f"classify {scale.classified:,} photographs with {MODEL}, whole processes: one at a time"
    return [Row(what, rate[0], rate[1], f"{quotient(theirs, mine)}×", "> 1×")]


if __name__ == "__main__":
    print(json.dumps(one_at_a_time(sys.argv[1], sys.argv[2])))
