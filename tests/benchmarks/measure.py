"""How the benchmarks measure: both sides in turn, in one run, and the median of their quotients."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Scale:
    """How large the work is."""

    grayscale: int
    color: int
    epochs: int
    rounds: int
    photographs: int
    classified: int
    runs: int
    rows: int
    keys: int
    """Key presses whose frames are timed."""


FULL = Scale(60_000, 10_000, 3, 3, 5_000, 2_000, 10_000, 1_000_000, 300)
QUICK = Scale(12_000, 2_000, 2, 2, 400, 100, 1_000, 100_000, 60)


@dataclass(frozen=True)
class Row:
    """One line of the table. `ratio` is ours against theirs, however `goal` counts it."""

    what: str
    ours: str
    theirs: str
    ratio: str
    goal: str


@dataclass(frozen=True)
class Quotient:
    """How many times the first the second is: median and spread over the rounds."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.2f}" + (f" ({self.low:.2f}–{self.high:.2f})" if self.high > self.low else "")


def quotient(a: Sequence[float], b: Sequence[float]) -> Quotient:
    """a / b, round by round."""
    each = [x / y for x, y in zip(a, b, strict=True)]
    return Quotient(statistics.median(each), min(each), max(each))


def alternate(rounds: int, sides: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """What each side gave, having been called in turn: what loads the machine meanwhile loads all of them."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(rounds):
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in order:
            say(f"  {name}, {number + 1} of {rounds}")
            found[name].append(sides[name]())
    return found


def say(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)


def python(
    *arguments: str, home: Path | None = None, data: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """A process of this interpreter, in a home of its own. Raises with its output if it fails."""
    environment = dict(os.environ)
    if home is not None:
        environment |= {"WORKBENCH_HOME": str(home), "TORCH_HOME": str(home / "torch")}
    if data is not None:
        environment["WORKBENCH_DATA"] = str(data)
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: exit {done.returncode}\n{done.stderr}")
    return done


def run_json(*arguments: str, home: Path | None = None, data: Path | None = None) -> Any:
    """The JSON that such a process prints."""
    return json.loads(python(*arguments, home=home, data=data).stdout)


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)
