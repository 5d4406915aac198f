"""A change of the learning rate or of the epochs that a person asks for: what it comes to, and its record."""

from __future__ import annotations

from typing import NamedTuple

from workbench.config.training_settings import Train
from workbench.core.errors import BadInput
from workbench.core.settings_schema import convert
from workbench.runs.enums import RequestKind
from workbench.runs.journal import Journal, SettingChange
from workbench.runs.requests import Request


class Changed(NamedTuple):
    """The setting below `train.`, and its value before and after."""

    key: str
    before: float
    value: float

    def __str__(self) -> str:
        return f"{self.key} {self.before:g} → {self.value:g}"


def note_change(journal: Journal, request: Request, settings: Train, *, step: int, epoch: int) -> Changed:
    """Put what `request` changes in `settings` on record, from `step` on; it is durable on return.

    Epochs are never fewer than those done and the one that goes on: `epoch` are done. Raises `BadInput` for a value
    that can't be.
    """
    try:
        key, value = requested_value(request, settings)
        convert(Train, {key: value}, "train")
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(str(error)) from None
    if key == "epochs":
        value = max(value, epoch + 1)
    changed = Changed(key, getattr(settings, key), value)
    journal.note(
        SettingChange(
            setting=f"train.{key}", value=value, before=changed.before, step=step, request=request.id
        )
    )
    journal.sync()
    return changed


def requested_value(request: Request, settings: Train) -> tuple[str, float]:
    """The setting below `train.` and the value that a request asks for. Raises `BadInput` for one that names none."""
    values = request.values
    if request.kind is RequestKind.LR:
        factor = 1.0 if values.times is None else values.times
        return "lr", float(settings.lr * factor if values.value is None else values.value)
    if values.value is not None:
        return "epochs", int(values.value)
    return "epochs", settings.epochs + (values.add or 0)
