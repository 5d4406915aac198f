"""The learning rate at every step: a pure function of the settings."""

from __future__ import annotations

import math

from workbench.config.training_settings import Train

TRIANGLE_RISE = 0.23


TRIANGLE_START = 0.2


TRIANGLE_END = 0.07
"""Share of the rise, and what the peak rate is multiplied by at both ends: as airbench94 has them."""


ONE_CYCLE_RISE = 0.3


ONE_CYCLE_START = 25.0


ONE_CYCLE_END = 1e4
"""Share of the rise, and what the first and the last rate are divided by: as torch's OneCycleLR has them."""


def lr_at(step: int, train: Train, steps_per_epoch: int) -> float:
    """The learning rate of step `step` (counted from 0), as a function of nothing but the settings.

    Linear warm-up over `train.warmup` epochs, then the schedule over what is left; `one-cycle` (Smith & Topin,
    arXiv:1708.07120) rises over its warm-up, or 30 % of the run, and has no cycle of the momentum; `triangular`
    (Jordan, arXiv:2404.00498) rises in a line over its warm-up, or 23 %, and falls in one.
    """
    total = max(1, train.epochs * steps_per_epoch)
    warm = min(round(train.warmup * steps_per_epoch), total)
    if train.schedule == "one-cycle":
        return train.lr * _one_cycle(step, total, warm or ONE_CYCLE_RISE * total)
    if train.schedule == "triangular":
        return train.lr * _triangle(step, total, warm or TRIANGLE_RISE * total)
    if step < warm:
        return train.lr * (step + 1) / warm
    if train.schedule == "step":
        return train.lr * train.step_factor ** (step // steps_per_epoch // train.step_every)
    if train.schedule == "cosine":
        done = (step - warm) / max(1, total - warm)
        return train.lr * (1 + math.cos(math.pi * min(1.0, done))) / 2
    return train.lr


def _one_cycle(step: int, total: int, rise: float) -> float:
    """The part of the peak rate at `step`: a cosine from 1/25 to 1 at `rise`, then one down to nothing."""
    peak, last = max(rise - 1, 0.0), total - 1
    low, end = 1 / ONE_CYCLE_START, 1 / (ONE_CYCLE_START * ONE_CYCLE_END)
    if step < peak:
        return _between(low, 1.0, step / peak)
    return _between(1.0, end, min(1.0, (step - peak) / (last - peak)) if last > peak else 1.0)


def _triangle(step: int, total: int, rise: float) -> float:
    """The part of the peak rate at `step`: in a line from 0.2 to 1 at `rise`, then in one to 0.07."""
    if step < rise:
        return TRIANGLE_START + (1 - TRIANGLE_START) * step / rise
    return 1 + (TRIANGLE_END - 1) * min(1.0, (step - rise) / max(1.0, total - rise))


def _between(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
