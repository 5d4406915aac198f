"""Which settings hold at which step: the experiment's, and what people changed on the way, replayed exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from workbench.runs.attempts import start_steps
from workbench.runs.journal import Attempt, JournalLine, SettingChange, SettingValue, attempts_of
from workbench.settings import convert
from workbench.trainsettings import Train

PREFIX = "train."


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

    @classmethod
    def of_journal(cls, base: Train, journal: Sequence[JournalLine], start: int) -> Timeline:
        """From the experiment's train settings and the journal, for an attempt that begins at step `start`.

        What a resume set holds from where that attempt began; a change that was made further on, and then lost
        because the run was cut, happens again at its step, unless a later resume set the same thing.
        """
        timeline = cls(base)
        attempts, starts = attempts_of(journal), start_steps(journal)
        for record in journal:
            if isinstance(record, Attempt):
                step = starts.get(record.attempt, 0)
                timeline._resume(record, min(step, start) if record is attempts[-1] else step)
            elif isinstance(record, SettingChange) and record.setting.startswith(PREFIX):
                timeline.add(Change(record.step, record.setting.removeprefix(PREFIX), record.value))
        return timeline

    def _resume(self, attempt: Attempt, step: int) -> None:
        """What an attempt that began at `step` set."""
        for key, value in attempt.overrides.items():
            if key.startswith(PREFIX):
                self.override(Change(step, key.removeprefix(PREFIX), value))

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
