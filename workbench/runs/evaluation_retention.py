"""Retention of evaluation files: one is written per epoch; of a long run evenly spaced ones are kept."""

from __future__ import annotations

from collections.abc import Collection

from workbench.runs.run_folder import RunFolder

MAX_SPACED = 200
"""Maximum number of evenly spaced evaluations."""
NEWEST_KEPT = 12
"""Number of newest evaluations that are always kept: the screen draws their trends."""


def retention_stride(count: int) -> int:
    """The distance, in epochs, between kept evaluations out of `count`.

    It is a power of two: an evaluation that is kept now was also kept at every smaller distance before.
    """
    step = 1
    while count // step > MAX_SPACED:
        step *= 2
    return step


def prune_evaluations(folder: RunFolder, split: str, steps_per_epoch: int, keep: Collection[int]) -> None:
    """Delete the evaluation files of a split, except the first, the newest, evenly spaced ones and steps in `keep`."""
    steps = folder.evaluated_steps(split)
    every = retention_stride(steps[-1] // steps_per_epoch) if steps else 1
    if every == 1:
        return
    for step in steps[1:-NEWEST_KEPT]:
        if round(step / steps_per_epoch) % every and step not in keep:
            path = folder.evaluation(step, split)
            path.unlink(missing_ok=True)
            path.with_suffix(".bin").unlink(missing_ok=True)
