"""Measuring a run: each epoch's held-out figures, and its result."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from workbench.errors import BadInput
from workbench.io.atomic import read_json
from workbench.io.progress import Progress
from workbench.models.outputs import figures
from workbench.runs.pruning import KEPT, prune_evaluations
from workbench.training import evaluate as evaluating
from workbench.training.checkpoint import Checkpoints, Entry
from workbench.training.context import Context
from workbench.training.drawing import drawing
from workbench.training.evaluate import Evaluation
from workbench.training.parts import Parts
from workbench.training.recovery import Recovery
from workbench.training.report import Report
from workbench.training.state import TrainState

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
        self._context.heartbeat.show(phase="evaluating")
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

    def record(self, evaluation: Evaluation, seconds: float, **marks: Any) -> None:
        """Write down an evaluation of the weights as they are, after the newest step."""
        state, module = self._state, self._parts.built.module
        self._report.evaluation(evaluation, state.step, state.epoch, seconds, **{**figures(module), **marks})
        first = read_json(self._folder.evaluations / f"step-0-{evaluation.split}.json") or {}
        draw = drawing(module, self._parts.sources[evaluation.split], evaluation, first.get("draw"))
        self._context.room.keep_trying(
            lambda: evaluating.write(evaluation, self._folder.evaluations, state.step, state.epoch, draw)
        )
        if state.epoch > KEPT:
            best = [] if state.best is None else [state.best["step"]]
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
        latest = {name: evaluation.scores[name] for name in ("loss", "accuracy") if name in evaluation.scores}
        self._context.heartbeat.show(latest=latest)
        return best

    def _monitored(self, evaluation: Evaluation) -> float:
        """The monitored figure, larger is better."""
        monitor = self._state.settings.monitor
        value = evaluation.scores[monitor]
        return -value if monitor == "loss" else value

    def result(self, checkpoints: Checkpoints) -> None:
        """The run's result: the test split, by the best epoch's weights where there is a best one."""
        marks: dict[str, Any] = {}
        best = checkpoints.best() if self._parts.experiment.weights == "best" else None
        if best is not None:
            marks = self._take_weights(checkpoints, best)
        evaluation, seconds, tta = self._newest, 0.0, self._state.settings.tta
        if evaluation is None or best is not None or tta != "none":
            evaluation, seconds = self.evaluate("test", tta)
        self.record(evaluation, seconds, final=True, best=False, **marks)
        self._report.metrics.sync()

    def _take_weights(self, checkpoints: Checkpoints, entry: Entry) -> dict[str, Any]:
        """Put the weights of a checkpoint into the module; what the row says of them."""
        if entry["step"] != self._state.step:
            try:
                self._parts.built.module.load_state_dict(checkpoints.load(entry)["model"])
            except BadInput as error:
                self._context.notice(f"the result is of the last weights, the best can't be read: {error}")
                return {}
        return {"weights_step": entry["step"], "weights_epoch": entry["epoch"]}
