"""After an upgrade: what the run's checkpoint is worth by the packages of before and by those of now."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.core.errors import BadInput
from workbench.engine.evaluate import Evaluation
from workbench.runs.attempts import WATCHED
from workbench.runs.journal import JournalLine, Notice, attempts_of
from workbench.runs.jsonl import read_lines
from workbench.runs.metrics import EvaluationRow, MetricLine
from workbench.worker.checkpoint_reader import LoadedCheckpoint
from workbench.worker.checkpoints import Checkpoints
from workbench.worker.components import Parts
from workbench.worker.context import Context
from workbench.worker.evaluator import Measuring

FIGURES = ("loss", "accuracy", "r2")


def changed_versions(journal: Iterable[JournalLine]) -> list[str]:
    """Packages of another version than in the attempt before (`torch 2.10.0 → 2.11.0`)."""
    attempts = attempts_of(journal)
    if len(attempts) < 2:
        return []
    before, now = (attempt.versions for attempt in attempts[-2:])
    return [
        f"{name} {before[name]} → {now[name]}"
        for name in WATCHED
        if name in before and name in now and before[name] != now[name]
    ]


class Comparison:
    """Evaluates a checkpoint that was evaluated before, and puts both results into the journal."""

    def __init__(
        self, context: Context, parts: Parts, checkpoints: Checkpoints, measuring: Measuring
    ) -> None:
        self._context, self._parts = context, parts
        self._checkpoints, self._measuring = checkpoints, measuring

    def make(self, restored: LoadedCheckpoint, changed: list[str]) -> None:
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
        self._note(f"{', '.join(changed)}: the weights of epoch {moment.entry.epoch}", before, evaluation)

    def _note(self, subject: str, row: EvaluationRow, evaluation: Evaluation) -> None:
        """Put what was measured before and now into the journal."""
        before = {name: value for name in FIGURES if (value := row.metric(name)) is not None}
        now = {name: evaluation.scores[name] for name in before if name in evaluation.scores}
        before = {name: before[name] for name in now}
        figures = "; ".join(f"{name} before {before[name]:.6g}, now {now[name]:.6g}" for name in now)
        text = f"{subject} on {evaluation.split}: {figures}"
        self._context.journal.note(Notice(attempt=self._context.attempt, text=text, before=before, now=now))

    def _moment(self, restored: LoadedCheckpoint) -> tuple[LoadedCheckpoint, EvaluationRow] | None:
        """The newest checkpoint whose weights were evaluated, and the row of that."""
        rows = {
            (row.step, row.epoch): row
            for row in read_lines(self._context.folder.metrics, MetricLine)
            if isinstance(row, EvaluationRow) and row.split == self._parts.held_out
        }
        for entry in reversed(self._checkpoints.entries):
            row = rows.get((entry.step, entry.epoch))
            if row is None or entry.position:
                continue
            if entry == restored.entry:
                return restored, row
            try:
                content = self._checkpoints.load(entry)
            except BadInput:
                continue
            return LoadedCheckpoint(content, entry, self._checkpoints.entries), row
        return None
