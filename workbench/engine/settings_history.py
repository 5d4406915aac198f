"""Which settings hold at which step: the experiment's, and what people changed on the way, replayed exactly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from workbench.config.training_settings import Train
from workbench.core.settings_schema import SettingValue, convert


@dataclass(frozen=True)
class Change:
    """From `step` (optimizer steps done) on, the setting `train.KEY` has this value."""

    step: int
    key: str
    value: SettingValue


class Timeline:
    """The `Train` settings as a function of the step. Raises `BadInput` for a change that can't be."""

    def __init__(self, base: Train, changes: Iterable[Change] = ()) -> None:
        self._base = base
        self._changes: list[Change] = []
        for change in changes:
            self.add(change)

    def add(self, change: Change) -> None:
        """One more change, after those of the same step."""
        convert(Train, {change.key: change.value}, "train")
        self._changes.append(change)

    def override(self, change: Change) -> None:
        """A change that also takes back what was changed later on."""
        self._changes = [c for c in self._changes if c.key != change.key or c.step <= change.step]
        self.add(change)

    def at(self, step: int) -> Train:
        """The settings that hold once `step` steps are done."""
        changes = sorted(self._changes, key=lambda change: change.step)
        values = {change.key: change.value for change in changes if change.step <= step}
        return convert(Train, {**msgspec.to_builtins(self._base), **values}, "train")

    def next_change(self, step: int) -> int | None:
        """The first step after `step` at which something changes."""
        return min((c.step for c in self._changes if c.step > step), default=None)
