"""Evaluations have a file an epoch; of a long run an evenly spaced part of them is kept."""

from __future__ import annotations

import re
from collections.abc import Collection

from workbench.runs.layout import RunFolder

KEPT = 200
"""Evenly spaced evaluations that are kept at the most."""
NEWEST = 12
"""How many of the newest are kept whatever their place: what the screen draws trends of."""


def stride(count: int) -> int:
    """Of so many evaluations every how manieth is kept: a power of two, so that what is kept once was kept before."""
    step = 1
    while count // step > KEPT:
        step *= 2
    return step


def prune_evaluations(folder: RunFolder, split: str, steps_per_epoch: int, keep: Collection[int]) -> None:
    """Delete the files of a split's evaluations that stand between those that are kept.

    Kept are: the first, the newest, the evenly spaced ones, and those of the steps in `keep` (the best).
    """
    pattern = re.compile(rf"step-(\d+)-{re.escape(split)}\.json")
    steps = sorted(
        int(found[1]) for p in folder.evaluations.iterdir() if (found := pattern.fullmatch(p.name))
    )
    every = stride(steps[-1] // steps_per_epoch) if steps else 1
    if every == 1:
        return
    for step in steps[1:-NEWEST]:
        if round(step / steps_per_epoch) % every and step not in keep:
            for suffix in ("json", "bin"):
                (folder.evaluations / f"step-{step}-{split}.{suffix}").unlink(missing_ok=True)
