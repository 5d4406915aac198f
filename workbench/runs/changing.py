"""A change of the learning rate or of the epochs that a person asks for: what it comes to, and its record."""

from __future__ import annotations

from typing import Any, NamedTuple

from workbench.errors import BadInput
from workbench.runs.control import Request
from workbench.runs.records import Journal
from workbench.settings import convert
from workbench.trainsettings import Train


class Changed(NamedTuple):
    """The setting below `train.`, and its value before and after."""

    key: str
    before: Any
    value: Any

    def __str__(self) -> str:
        return f"{self.key} {self.before:g} → {self.value:g}"


def note_change(journal: Journal, request: Request, settings: Train, *, step: int, epoch: int) -> Changed:
    """Put what `request` changes in `settings` on record, from `step` on; it is durable on return.

    Epochs are never fewer than those done and the one that goes on: `epoch` are done. Raises `BadInput` for a value
    that can't be.
    """
    try:
        key, value = wanted(request, settings)
        convert(Train, {key: value}, "train")
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(str(error)) from None
    if key == "epochs":
        value = max(value, epoch + 1)
    changed = Changed(key, getattr(settings, key), value)
    journal.note("change", setting=f"train.{key}", value=value, before=changed.before, step=step,
                 request=request.id)  # fmt: skip
    journal.sync()
    return changed


def wanted(request: Request, settings: Train) -> tuple[str, Any]:
    """The setting and the value that a request asks for.

    `lr`: `{"value": x}` or `{"times": x}`; `epochs`: `{"value": n}` or `{"add": n}`.
    """
    values = request.values
    if request.what == "lr":
        return "lr", float(
            values["value"] if "value" in values else settings.lr * float(values.get("times", 1))
        )
    value = values["value"] if "value" in values else settings.epochs + int(values.get("add", 0))
    return "epochs", int(value)
