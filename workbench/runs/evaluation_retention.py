"""Evaluations have a file an epoch; of a long run an evenly spaced part of them is kept."""

from __future__ import annotations

from collections.abc import Collection

from workbench.runs.run_folder import RunFolder

KEPT = 200
"""Evenly spaced evaluations that are kept at the most."""
NEWEST = 12
"""The newest evaluations that are kept whatever their place: those whose trends the screen draws."""


def stride(count: int) -> int:
    """The distance between kept evaluations of `count`: a power of two, so that a kept one was kept before too."""
    step = 1
    while count // step > KEPT:
        step *= 2
    return step


def prune_evaluations(folder: RunFolder, split: str, steps_per_epoch: int, keep: Collection[int]) -> None:
    """Delete the files of a split's evaluations between those that are kept.

    Kept are: the first, the newest, the evenly spaced ones, and those of the steps in `keep` (the best).
    """
    steps = folder.evaluated_steps(split)
    every = stride(steps[-1] // steps_per_epoch) if steps else 1
    if every == 1:
        return
    for step in steps[1:-NEWEST]:
        if round(step / steps_per_epoch) % every and step not in keep:
            path = folder.evaluation(step, split)
            path.unlink(missing_ok=True)
            path.with_suffix(".bin").unlink(missing_ok=True)
