"""After a package upgrade: evaluates a checkpoint again and compares the metrics with those from before."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.core.errors import UserError
from workbench.engine.sharded_tensors import load_weights
from workbench.engine.state_content import result_weights
from workbench.runs.attempts import RECORDED_PACKAGES
from workbench.runs.evaluation import Evaluation
from workbench.runs.journal import JournalLine, Notice, attempts_of
from workbench.runs.jsonl import read_lines
from workbench.runs.metrics import EvaluationRow, MetricLine
from workbench.worker.attempt import TrainingAttempt
from workbench.worker.checkpoint_reader import LoadedCheckpoint
from workbench.worker.evaluator import Evaluator

COMPARED_METRICS = ("loss", "accuracy", "r2")


def changed_versions(journal: Iterable[JournalLine]) -> list[str]:
    """Packages whose version differs from the previous attempt's (`torch 2.10.0 → 2.11.0`)."""
    attempts = attempts_of(journal)
    if len(attempts) < 2:
        return []
    before, now = (attempt.versions for attempt in attempts[-2:])
    return [
        f"{name} {before[name]} → {now[name]}"
        for name in RECORDED_PACKAGES
        if name in before and name in now and before[name] != now[name]
    ]


class UpgradeCheck:
    """Evaluates a checkpoint that was evaluated before the upgrade, and records both results in the journal."""

    def __init__(self, attempt: TrainingAttempt, evaluator: Evaluator) -> None:
        self._context, self._components = attempt.context, attempt.components
        self._checkpoints, self._evaluator = attempt.checkpoints, evaluator

    def run(self, restored: LoadedCheckpoint, changed: list[str]) -> None:
        """Compare the newest checkpoint of a completed epoch; then load the weights of `restored` again."""
        match = self._evaluated_checkpoint(restored)
        if match is None:
            self._context.notice(f"{', '.join(changed)}: no checkpoint has earlier metrics to compare with")
            return
        module = self._components.model.module
        checkpoint, before = match
        load_weights(module, result_weights(checkpoint.content))
        evaluation, _ = self._evaluator.evaluate(self._components.held_out_split)
        load_weights(module, restored.content["model"])
        self._note(f"{', '.join(changed)}: the weights of epoch {checkpoint.entry.epoch}", before, evaluation)

    def _note(self, subject: str, row: EvaluationRow, evaluation: Evaluation) -> None:
        """Record the metrics before and after the upgrade in the journal."""
        before = {name: value for name in COMPARED_METRICS if (value := row.metric(name)) is not None}
        now = {name: evaluation.scores[name] for name in before if name in evaluation.scores}
        before = {name: before[name] for name in now}
        comparison = "; ".join(f"{name} before {before[name]:.6g}, now {now[name]:.6g}" for name in now)
        text = f"{subject} on {evaluation.split}: {comparison}"
        self._context.journal.append(
            Notice(attempt=self._context.attempt, text=text, before=before, after=now)
        )

    def _evaluated_checkpoint(
        self, restored: LoadedCheckpoint
    ) -> tuple[LoadedCheckpoint, EvaluationRow] | None:
        """The newest checkpoint whose weights were evaluated, and the row of that evaluation."""
        rows = {
            (row.step, row.epoch): row
            for row in read_lines(self._context.folder.metrics, MetricLine)
            if isinstance(row, EvaluationRow) and row.split == self._components.held_out_split
        }
        for entry in reversed(self._checkpoints.entries):
            row = rows.get((entry.step, entry.epoch))
            if row is None or entry.position:
                continue
            if entry == restored.entry:
                return restored, row
            self._checkpoints.share(entry)
            try:
                content = self._checkpoints.load(entry)
            except UserError:
                continue
            return LoadedCheckpoint(content, entry, self._checkpoints.entries), row
        return None
