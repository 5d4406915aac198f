"""The learning rate schedule: a pure function of step and settings."""

from __future__ import annotations

import math

from workbench.config.training_settings import TrainingSettings

TRIANGLE_RISE = 0.23
TRIANGLE_START = 0.2
TRIANGLE_END = 0.07
"""The warm-up's share of the run, and the factors on the peak rate at the first and the last step, as in airbench94."""

ONE_CYCLE_RISE = 0.3
ONE_CYCLE_START = 25.0
ONE_CYCLE_END = 1e4
"""`pct_start`, `div_factor` and `final_div_factor` of PyTorch's `OneCycleLR`."""


def lr_at(step: int, train: TrainingSettings, steps_per_epoch: int) -> float:
    """The learning rate of step `step` (counted from 0).

    A linear warm-up over `train.warmup` epochs is followed by the schedule over the remaining steps. `one-cycle`
    (Smith & Topin, arXiv:1708.07120) rises over the warm-up, or 30 % of the run, and does not cycle the momentum.
    `triangular` (Jordan, arXiv:2404.00498) rises linearly over the warm-up, or 23 %, and falls linearly. `restarts` are
    those of PyTorch's `CosineAnnealingWarmRestarts`.
    """
    if train.swa and train.swa_lr and step // steps_per_epoch >= first_averaged_epoch(train):
        return train.swa_lr
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
    if train.schedule == "restarts":
        return train.lr * _restarts(step - warm, train.restart_every * steps_per_epoch, train.restart_factor)
    if train.schedule == "cosine":
        done = (step - warm) / max(1, total - warm)
        return train.lr * (1 + math.cos(math.pi * min(1.0, done))) / 2
    return train.lr


def first_averaged_epoch(train: TrainingSettings) -> int:
    """The first epoch (counted from 0) whose last weights are part of the average of `train.swa`."""
    return min(math.floor(train.swa * train.epochs), train.epochs - 1)


def describe_lr_change(
    before: TrainingSettings,
    after: TrainingSettings,
    step: int,
    steps_per_epoch: int,
    steps_per_epoch_after: int,
) -> str | None:
    """What becomes of the learning rate when `after` replaces `before` once `step` steps are done, in one line.

    `None` where it is the same constant before and after, or where `steps_per_epoch` is unknown (0).
    """
    if min(steps_per_epoch, steps_per_epoch_after) < 1:
        return None
    old = lr_at(max(0, step - 1), before, steps_per_epoch)
    new = lr_at(step, after, steps_per_epoch_after)
    planned = lr_at(step, before, steps_per_epoch)
    changes = abs(new - planned) > 0.01 * planned or before.schedule != after.schedule
    if not changes and after.schedule == "constant":
        return None
    course = f"{after.schedule} until epoch {after.epochs}"
    if before.schedule == after.schedule != "constant" and before.epochs != after.epochs:
        course += f" instead of {before.epochs}"
    if not changes:
        return f"the learning rate continues at {new:.3g} ({course})"
    return f"the learning rate goes from {old:.3g} to {new:.3g} at step {step} ({course})"


def _one_cycle(step: int, total: int, rise: float) -> float:
    """The factor on the peak rate at `step`: a cosine from 1/25 to 1 at step `rise`, then one down to almost 0."""
    peak, last = max(rise - 1, 0.0), total - 1
    low, end = 1 / ONE_CYCLE_START, 1 / (ONE_CYCLE_START * ONE_CYCLE_END)
    if step < peak:
        return _cosine_interpolation(low, 1.0, step / peak)
    return _cosine_interpolation(1.0, end, min(1.0, (step - peak) / (last - peak)) if last > peak else 1.0)


def _triangle(step: int, total: int, rise: float) -> float:
    """The factor on the peak rate at `step`: linear from 0.2 to 1 at step `rise`, then linear down to 0.07."""
    if step < rise:
        return TRIANGLE_START + (1 - TRIANGLE_START) * step / rise
    return 1 + (TRIANGLE_END - 1) * min(1.0, (step - rise) / max(1.0, total - rise))


def _restarts(step: int, length: float, factor: int) -> float:
    """The factor on the peak rate at `step`: cosines from 1 to 0 (Loshchilov & Hutter, arXiv:1608.03983).

    The first takes `length` steps, each other one `factor` times as many as the one before it.
    """
    start = 0.0 if factor > 1 else step // length * length
    while step >= start + length:
        start, length = start + length, length * factor
    return _cosine_interpolation(1.0, 0.0, (step - start) / length)


def _cosine_interpolation(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
