"""After an upgrade: what the run's checkpoint is worth by the packages of before and by those of now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workbench.errors import BadInput
from workbench.runs.records import WATCHED, attempts_of, number, read_lines
from workbench.training.checkpoint import Checkpoints
from workbench.training.context import Context
from workbench.training.measuring import Measuring
from workbench.training.parts import Parts
from workbench.training.restore import Restored

FIGURES = ("loss", "accuracy", "r2")


def changed_versions(journal: Iterable[Mapping[str, Any]]) -> list[str]:
    """Packages of another version than in the attempt before (`torch 2.10.0 → 2.11.0`)."""
    attempts = attempts_of(journal)
    if len(attempts) < 2:
        return []
    before, now = ({**(attempt.get("versions") or {})} for attempt in attempts[-2:])
    return [
        f"{name} {before[name]} → {now[name]}"
        for name in WATCHED
        if name in before and name in now and before[name] != now[name]
    ]


class Comparison:
    """Evaluates a checkpoint that was evaluated before, and tells people both figures."""

    def __init__(
        self, context: Context, parts: Parts, checkpoints: Checkpoints, measuring: Measuring
    ) -> None:
        self._context, self._parts = context, parts
        self._checkpoints, self._measuring = checkpoints, measuring

    def make(self, restored: Restored, changed: list[str]) -> None:
        """Take the newest moment that stands at an epoch's end; `restored`'s weights are put back."""
        found = self._moment(restored)
        if found is None:
            self._context.notice(f"{', '.join(changed)}: no checkpoint has figures to hold against new ones")
            return
        module = self._parts.built.module
        moment, before = found
        module.load_state_dict(moment.content["model"])
        evaluation, _ = self._measuring.evaluate(self._parts.held_out)
        module.load_state_dict(restored.content["model"])
        shown = [name for name in FIGURES if name in before and name in evaluation.scores]
        figures = "; ".join(
            f"{name} before {number(before[name]):.6g}, now {evaluation.scores[name]:.6g}" for name in shown
        )
        self._context.notice(
            f"{', '.join(changed)}: the weights of epoch {moment.entry['epoch']} on {evaluation.split}: {figures}",
            before={name: before[name] for name in shown},
            now={name: evaluation.scores[name] for name in shown},
        )

    def _moment(self, restored: Restored) -> tuple[Restored, dict[str, Any]] | None:
        """The newest checkpoint whose weights were evaluated, and the row that says so."""
        rows = {
            (row["step"], row["epoch"]): row
            for row in read_lines(self._context.folder.metrics)
            if row.get("kind") == "evaluation" and row.get("split") == self._parts.held_out
        }
        for entry in reversed(self._checkpoints.entries):
            row = rows.get((entry["step"], entry["epoch"]))
            if row is None or entry["position"]:
                continue
            if entry == restored.entry:
                return restored, row
            try:
                return Restored(self._checkpoints.load(entry), entry), row
            except BadInput:
                continue
        return None
