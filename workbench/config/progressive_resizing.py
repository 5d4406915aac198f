"""The setting `train.resize`: smaller images at first, which train faster."""

from __future__ import annotations

import re

from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError

_STEP = re.compile(r"(\d{1,4})@(\d*\.?\d+)")
_MIN_SIDE = 4


def resizing_steps(text: str) -> tuple[tuple[int, float], ...]:
    """The sides of images, each with the part of the training after which it is used; empty for no setting.

    `text` has the form of the setting. Raises `UserError` for fractions or sides that can't be.
    """
    steps = [(int(side), float(start)) for side, start in _STEP.findall(text)]
    starts = [start for _, start in steps]
    if steps and (starts[0] != 0 or starts != sorted(set(starts)) or starts[-1] >= 1):
        raise UserError(
            "train.resize: the fractions must start with 0, rise, and end below 1: 128@0,192@0.5,224@0.8"
        )
    if any(side < _MIN_SIDE for side, _ in steps):
        raise UserError(f"train.resize: images need at least {_MIN_SIDE} pixels")
    return tuple(steps)


def training_side(train: TrainingSettings, epoch: int) -> int | None:
    """The side of training images in `epoch` (counted from 0); `None` without the setting."""
    steps = resizing_steps(train.resize)
    reached = [side for side, start in steps if epoch >= start * train.epochs]
    return reached[-1] if reached else None
