"""What logging costs a script: `workbench.log` against TensorBoard's SummaryWriter and, where it is installed, W&B."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Row, Scale, alternate, quotient, run_json

CALLS = 20_000
"""Calls of three values each."""
LOOP = """
import json, pathlib, statistics, sys, time
began = time.perf_counter()
{imports}
imported = time.perf_counter() - began
place = pathlib.Path(sys.argv[1])
{start}
times = []
began = time.perf_counter()
for step in range({calls}):
    values = {{"loss": 1 / (step + 1), "accuracy": 0.5, "lr": 0.1}}
    before = time.perf_counter()
    {log}
    times.append(time.perf_counter() - before)
{end}
whole = time.perf_counter() - began
size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file() and path.name != "reserve")
print(json.dumps({{"import": imported, "median": statistics.median(times), "whole": whole, "bytes": size}}))
"""
SIDES = {
    "workbench": ("import workbench", "run = workbench.init()", "run.log(values, step=step)", "run.finish()"),
    "tensorboard": (
        "from torch.utils.tensorboard import SummaryWriter",
        "writer = SummaryWriter(str(place))",
        "for name, value in values.items(): writer.add_scalar(name, value, step)",
        "writer.close()",
    ),
    "wandb": (
        "import wandb",
        "run = wandb.init(mode='offline', dir=str(place), settings=wandb.Settings(silent=True, console='off'))",
        "run.log(values, step=step)",
        "run.finish()",
    ),
}


def rows(place: Path, scale: Scale) -> list[Row]:
    """A call, a whole run, importing, and bytes on the disk, against each of the others that is installed."""
    names = [name for name in SIDES if importlib.util.find_spec(name) is not None]
    found = alternate(scale.rounds, {name: _side(name, place) for name in names})
    return [row for name in names[1:] for row in _rows(name, found["workbench"], found[name])]


def _rows(name: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[Row]:
    def row(what: str, key: str, show: Callable[[float], str], goal: str = "> 1") -> Row:
        mine, other = ([side[key] for side in sides] for sides in (ours, theirs))
        return Row(
            f"{what}: {name} / workbench", show(mine[0]), show(other[0]), str(quotient(other, mine)), goal
        )

    return [
        row("one call that logs 3 values", "median", lambda seconds: f"{seconds * 1e6:.1f} µs"),
        row(
            f"{CALLS:,} calls in one run, and its end",
            "whole",
            lambda seconds: f"{CALLS / seconds:,.0f} calls/s",
        ),
        row("import", "import", lambda seconds: f"{seconds * 1e3:.0f} ms"),
        row(f"bytes of {CALLS:,} calls", "bytes", lambda size: f"{size / 1e6:.2f} MB", "-"),
    ]


def _side(name: str, place: Path) -> Callable[[], dict[str, Any]]:
    imports, start, log, end = SIDES[name]
    script = place / f"{name}_loop.py"
    script.write_text(LOOP.format(imports=imports, start=start, log=log, end=end, calls=CALLS))
    count = iter(range(10**6))

    def run() -> dict[str, Any]:
        folder = place / f"{name}-{next(count)}"
        folder.mkdir()
        return run_json(str(script), str(folder), home=folder)

    return run
