"""Measuring a run: each epoch's held-out figures, and its result."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from workbench.core.errors import BadInput
from workbench.core.progress import Progress
from workbench.engine import evaluate as evaluating
from workbench.engine.decision_plot import drawing
from workbench.engine.evaluate import Evaluation
from workbench.engine.train_state import TrainState
from workbench.io.record_codec import read_record
from workbench.models.outputs import figures
from workbench.runs.enums import Phase
from workbench.runs.evaluation_retention import KEPT, prune_evaluations
from workbench.runs.metric_direction import oriented
from workbench.runs.metrics import EvaluationFile, EvaluationRow, Wall
from workbench.runs.records import CheckpointEntry, Latest
from workbench.worker.checkpoints import Checkpoints
from workbench.worker.components import Parts
from workbench.worker.context import Context
from workbench.worker.evaluation_writer import write
from workbench.worker.metrics_writer import Report
from workbench.worker.recovery import Recovery

LONG = 2.0
"""Seconds after which an evaluation tells how far it is."""


class Measuring:
    """Evaluates the weights as they are, and writes down what it finds."""

    def __init__(
        self, context: Context, parts: Parts, state: TrainState, report: Report, recovery: Recovery
    ) -> None:
        self._context, self._parts, self._state, self._report = context, parts, state, report
        self._recovery = recovery
        self._folder = context.folder
        self._newest: Evaluation | None = None
        """Of the test split, after the newest step."""

    def evaluate(self, split: str, tta: str = "none") -> tuple[Evaluation, float]:
        """An evaluation and the seconds it took; `tta` as `train.tta`."""
        self._context.heartbeat.show(phase=Phase.EVALUATING)
        start = time.monotonic()
        with self._context.watch.during("evaluate"):
            evaluation = self._evaluate(split, tta)
        return evaluation, time.monotonic() - start

    def _evaluate(self, split: str, tta: str) -> Evaluation:
        """As many examples at once as are quick, or fewer where memory has no room for them."""
        parts = self._parts
        size = evaluating.at_once(parts.sources[split], self._state.settings.evaluation_batch)
        while True:
            try:
                return evaluating.evaluate(
                    parts.built.module,
                    parts.sources[split],
                    parts.task,
                    split=split,
                    classes=parts.data.classes,
                    precision=parts.precision,
                    between=self._between(split),
                    batch_size=size,
                    tta=tta,
                )
            except (RuntimeError, MemoryError) as error:
                size = self._recovery.smaller_evaluation(error, size)

    def _between(self, split: str) -> Callable[[], None]:
        """What is done after each batch: say that a long one moves, and end where that is asked for."""
        batches, start = itertools.count(1), time.monotonic()

        def between() -> None:
            done = next(batches)
            if time.monotonic() - start > LONG:
                self._context.heartbeat.progress(Progress(f"{split}, batch", done, None, "batches"))
            self._context.requests.raise_if_stopped()

        return between

    def record(
        self,
        evaluation: Evaluation,
        seconds: float,
        *,
        best: bool = False,
        final: bool = False,
        weights: CheckpointEntry | None = None,
    ) -> None:
        """Write an evaluation after the newest step, of the weights as they are or of a checkpoint's `weights`."""
        state = self._state
        row = EvaluationRow(
            step=state.step,
            epoch=state.epoch,
            split=evaluation.split,
            model=figures(self._parts.built.module),
            best=best,
            final=final,
            weights_step=weights.step if weights else None,
            weights_epoch=weights.epoch if weights else None,
            wall=Wall(seconds=round(seconds, 3)),
            **evaluation.scores,
        )
        self._report.evaluation(row)
        self._write_file(evaluation)

    def _write_file(self, evaluation: Evaluation) -> None:
        """Write the evaluation class by class; between older ones, some files are deleted."""
        state, split = self._state, evaluation.split
        first = read_record(self._folder.evaluation(0, split), EvaluationFile)
        before = None if first is None else first.draw
        draw = drawing(self._parts.built.module, self._parts.sources[split], evaluation, before)
        self._context.room.keep_trying(lambda: write(evaluation, self._folder, state.step, state.epoch, draw))
        if state.epoch > KEPT:
            best = [] if state.best is None else [state.best.step]
            prune_evaluations(self._folder, evaluation.split, state.steps_per_epoch, best)

    def start(self) -> None:
        """Measure the model before its first step, where it is quickly done: what is learned can then be seen.

        Pictures are left out: there the first figures are chance, and a pass over them takes its time.
        """
        if self._parts.data.train.inputs.ndim == 4:
            return
        evaluation, seconds = self.evaluate(self._parts.held_out)
        self.record(evaluation, seconds)

    def epoch(self) -> bool:
        """Evaluate the epoch that ended and count it; whether it is the best so far.

        Nothing changes before the evaluation is whole: a run that is stopped in it resumes at the epoch's end.
        """
        split, state = self._parts.held_out, self._state
        evaluation, seconds = self.evaluate(split)
        self._report.epoch(state.step, state.epoch + 1)
        value = self._monitored(evaluation) if split == "validation" else None
        best = state.end_epoch(value, evaluation.scores["loss"])
        self.record(evaluation, seconds, best=best)
        self._newest = evaluation if split == "test" else None
        latest = Latest(loss=evaluation.scores["loss"], accuracy=evaluation.scores.get("accuracy"))
        self._context.heartbeat.show(latest=latest)
        return best

    def _monitored(self, evaluation: Evaluation) -> float:
        """The monitored figure, larger is better."""
        monitor = self._state.settings.monitor
        value = evaluation.scores[monitor]
        return oriented(monitor, value)

    def result(self, checkpoints: Checkpoints) -> None:
        """The run's result: the test split, by the best epoch's weights where there is a best one."""
        best = checkpoints.best() if self._parts.experiment.weights == "best" else None
        weights = None if best is None else self._take_weights(checkpoints, best)
        evaluation, seconds, tta = self._newest, 0.0, self._state.settings.tta
        if evaluation is None or best is not None or tta != "none":
            evaluation, seconds = self.evaluate("test", tta)
        self.record(evaluation, seconds, final=True, weights=weights)
        self._report.metrics.sync()

    def _take_weights(self, checkpoints: Checkpoints, entry: CheckpointEntry) -> CheckpointEntry | None:
        """Put the weights of a checkpoint into the module; the checkpoint, where that could be done."""
        if entry.step != self._state.step:
            try:
                self._parts.built.module.load_state_dict(checkpoints.load(entry)["model"])
            except BadInput as error:
                self._context.notice(f"the result is of the last weights, the best can't be read: {error}")
                return None
        return entry
