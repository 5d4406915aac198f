"""Requested changes of the learning rate or the number of epochs, and their record in the journal."""

from __future__ import annotations

import math
from typing import NamedTuple

from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.core.settings_schema import convert
from workbench.core.text import plural
from workbench.runs.enums import RequestKind
from workbench.runs.journal import Journal, SettingChange
from workbench.runs.requests import Request


class AppliedChange(NamedTuple):
    """A changed setting `train.KEY`, with its old and new value."""

    key: str
    old_value: float
    value: float

    def __str__(self) -> str:
        return f"{self.key} {self.old_value:g} → {self.value:g}"


def record_change(
    journal: Journal, request: Request, settings: TrainingSettings, *, step: int, epoch: int
) -> AppliedChange:
    """Record the change of `settings` by `request` in the journal, in force from `step` on; durable on return.

    The number of epochs can't be reduced below `epoch`, those done, plus the current one. Raises `UserError` for an
    invalid value and `OSError` on a full disk.
    """
    key, value = requested_value(request, settings)
    if key == "epochs" and value <= epoch:
        raise UserError(epochs_error(int(value), epoch))
    convert(TrainingSettings, {key: value}, "train")
    changed = AppliedChange(key, getattr(settings, key), value)
    journal.append(
        SettingChange(
            setting=f"train.{key}", value=value, before=changed.old_value, step=step, request=request.id
        )
    )
    journal.sync()
    return changed


def epochs_error(epochs: int, done: int) -> str:
    """Why a run that has completed `done` epochs can't be one of `epochs`."""
    completed = f"{plural(done, 'epoch')} {'is' if done == 1 else 'are'} completed"
    return f"train.epochs can't be {epochs}: {completed}, so the smallest useful number is {done + 1}"


def requested_value(request: Request, settings: TrainingSettings) -> tuple[str, float]:
    """The setting `train.KEY` and the value that a request asks for.

    Raises `UserError` for a request without a value and for a value that is NaN or infinite.
    """
    values = request.values
    if request.kind is RequestKind.LR:
        if values.value is not None:
            return "lr", _finite("lr", values.value)
        if values.times is None:
            raise UserError("lr needs a value or a factor")
        return "lr", _finite("lr", settings.lr * values.times)
    if values.value is not None:
        return "epochs", int(_finite("epochs", values.value))
    if values.add is None:
        raise UserError("epochs needs a value or a number of epochs to add")
    return "epochs", settings.epochs + values.add


def _finite(key: str, value: float) -> float:
    if not math.isfinite(value):
        raise UserError(f"train.{key} must be a finite number, not {value}")
    return value
