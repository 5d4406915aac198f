"""The training settings in force at each step: the experiment's, and the changes made during the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from workbench.config.training_settings import TrainingSettings
from workbench.core.settings_schema import SettingValue, convert


@dataclass(frozen=True)
class SettingOverride:
    """A change of the setting `train.KEY` to `value` from `step` (optimizer steps done) on."""

    step: int
    key: str
    value: SettingValue


class SettingsHistory:
    """The `TrainingSettings` as a function of the step. Raises `UserError` for a change that can't be."""

    def __init__(self, base: TrainingSettings, changes: Iterable[SettingOverride] = ()) -> None:
        self._base = base
        self._changes: list[SettingOverride] = []
        for change in changes:
            self.add(change)

    def add(self, change: SettingOverride) -> None:
        """Add an override; it takes precedence over earlier ones of the same step."""
        convert(TrainingSettings, {change.key: change.value}, "train")
        self._changes.append(change)

    def add_and_discard_later(self, change: SettingOverride) -> None:
        """Add an override and discard those of the same setting at later steps."""
        self._changes = [c for c in self._changes if c.key != change.key or c.step <= change.step]
        self.add(change)

    def at(self, step: int) -> TrainingSettings:
        """The settings in force once `step` steps are done."""
        changes = sorted(self._changes, key=lambda change: change.step)
        values = {change.key: change.value for change in changes if change.step <= step}
        return convert(TrainingSettings, {**msgspec.to_builtins(self._base), **values}, "train")

    def next_change(self, step: int) -> int | None:
        """The first step after `step` at which a setting changes; `None` without one."""
        return min((c.step for c in self._changes if c.step > step), default=None)
