"""Which settings hold at which step: the experiment's, and what people changed on the way, replayed exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.runs.attempts import began, number_of
from workbench.runs.records import attempts_of
from workbench.settings import convert
from workbench.trainsettings import Train


@dataclass(frozen=True)
class Change:
    """From `step` (optimizer steps done) on, the setting `train.KEY` has this value."""

    step: int
    key: str
    value: Any


class Timeline:
    """The `Train` settings as a function of the step. Raises `BadInput` for a change that can't be."""

    def __init__(self, base: Mapping[str, Any], changes: Iterable[Change] = ()) -> None:
        self._base = dict(base)
        self._changes: list[Change] = []
        for change in changes:
            self.add(change)

    @classmethod
    def of_journal(
        cls, base: Mapping[str, Any], journal: Iterable[Mapping[str, Any]], start: int
    ) -> Timeline:
        """From `experiment.json`'s train settings and the journal, for an attempt that begins at step `start`.

        What a resume set holds from where that attempt began; a change that was made further on, and then lost
        because the run was cut, happens again at its step, unless a later resume set the same thing.
        """
        timeline = cls(base)
        attempts, starts = attempts_of(journal), began(journal)
        for record in journal:
            if record.get("kind") == "attempt":
                step = starts.get(number_of(record), 0)
                if record is attempts[-1]:
                    step = min(step, start)
                for key, value in (record.get("overrides") or {}).items():
                    if key.startswith("train."):
                        timeline.override(Change(step, key.removeprefix("train."), value))
            elif record.get("kind") == "change" and str(record.get("setting", "")).startswith("train."):
                key = str(record["setting"]).removeprefix("train.")
                timeline.add(Change(int(record.get("step") or 0), key, record.get("value")))
        return timeline

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
        values = dict(self._base)
        for change in sorted(self._changes, key=lambda c: c.step):
            if change.step <= step:
                values[change.key] = change.value
        return convert(Train, values, "train")

    def next_change(self, step: int) -> int | None:
        """The first step after `step` at which something changes."""
        return min((c.step for c in self._changes if c.step > step), default=None)
