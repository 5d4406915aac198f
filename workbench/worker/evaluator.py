"""The evaluations of a run: after each epoch on the held-out split, and the final result on the test split."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from workbench.core.errors import UserError
from workbench.core.progress import Progress
from workbench.engine import evaluate
from workbench.engine.decision_plot import decision_plot
from workbench.engine.sharded_tensors import load_weights, unsharded
from workbench.engine.state_content import result_weights
from workbench.engine.weight_average import recompute_batch_norm
from workbench.io.record_codec import read_record
from workbench.models.outputs import extra_metrics, has_extra_metrics
from workbench.runs.enums import Phase
from workbench.runs.evaluation import Evaluation
from workbench.runs.evaluation_retention import MAX_SPACED, prune_evaluations
from workbench.runs.evaluation_writer import write_evaluation
from workbench.runs.metric_direction import oriented_value
from workbench.runs.metrics import EvaluationFile, EvaluationRow, Wall
from workbench.runs.records import CheckpointEntry, Latest
from workbench.runs.requests import STOP_REQUESTED
from workbench.worker.attempt import TrainingAttempt
from workbench.worker.recovery import Recovery
from workbench.worker.requests import Stop

PROGRESS_AFTER_SECONDS = 2.0
"""An evaluation reports its progress after this time."""


class Evaluator:
    """Evaluates the current weights and writes the results."""

    def __init__(self, attempt: TrainingAttempt, recovery: Recovery) -> None:
        self._context, self._components, self._state = attempt.context, attempt.components, attempt.state
        self._checkpoints, self._metrics = attempt.checkpoints, attempt.metrics
        self._recovery = recovery
        self._folder = attempt.context.folder
        self._latest_test: Evaluation | None = None
        """The evaluation of the test split after the newest step, if there is one."""

    def evaluate(self, split: str, tta: str = "none") -> tuple[Evaluation, float]:
        """An evaluation of a split and the seconds it took; `tta` as `train.tta`."""
        self._context.heartbeat.update(phase=Phase.EVALUATING)
        start = time.monotonic()
        with self._context.stopwatch.during("evaluate"):
            evaluation = self._evaluate(split, tta)
        return evaluation, time.monotonic() - start

    def _evaluate(self, split: str, tta: str) -> Evaluation:
        """Evaluate with a smaller batch size each time that memory runs out."""
        components = self._components
        size = evaluate.eval_batch_size(components.splits[split], self._state.settings.evaluation_batch)
        while True:
            try:
                return evaluate.evaluate(
                    components.model.module,
                    components.splits[split],
                    components.task,
                    split=split,
                    classes=components.data.classes,
                    precision=components.precision,
                    after_batch=self._after_batch(split),
                    batch_size=size,
                    tta=tta,
                    group=components.group,
                )
            except (RuntimeError, MemoryError) as error:
                size = self._recovery.shrink_evaluation_batch(error, size)

    def _after_batch(self, split: str) -> Callable[[], None]:
        """A function for each batch's end: reports the progress of a long evaluation, and raises on a stop request."""
        batches, start = itertools.count(1), time.monotonic()
        group, requests = self._components.group, self._context.requests

        def after_batch() -> None:
            done = next(batches)
            if time.monotonic() - start > PROGRESS_AFTER_SECONDS:
                self._context.heartbeat.report_progress(Progress(f"{split}, batch", done, None, "batches"))
            if group.size > 1 and group.broadcast(requests.stop_requested(), bool):
                # Those that get no requests stop too, but record no reason.
                requests.stop, requests.stop_is_agreed = requests.stop or STOP_REQUESTED, True
                raise Stop(requests.stop)
            if group.size == 1:
                requests.raise_if_stopped()

        return after_batch

    def write_result(
        self,
        evaluation: Evaluation,
        seconds: float,
        *,
        best: bool = False,
        final: bool = False,
        weights: CheckpointEntry | None = None,
    ) -> None:
        """Write an evaluation of the newest step, with the current weights or those of the checkpoint `weights`."""
        state, module = self._state, self._components.model.module
        with unsharded(module) if has_extra_metrics(module) else nullcontext():
            extra = extra_metrics(module)
        row = EvaluationRow(
            step=state.step,
            epoch=state.epoch,
            split=evaluation.split,
            model=extra,
            best=best,
            final=final,
            weights_step=weights.step if weights else None,
            weights_epoch=weights.epoch if weights else None,
            wall=Wall(seconds=round(seconds, 3)),
            **evaluation.scores,
        )
        self._metrics.write_evaluation(row)
        self._write_file(evaluation)

    def _write_file(self, evaluation: Evaluation) -> None:
        """Write the evaluation's file, and thin out the files of older epochs."""
        state, split = self._state, evaluation.split
        first = read_record(self._folder.evaluation(0, split), EvaluationFile)
        before = None if first is None else first.draw
        draw = decision_plot(
            self._components.model.module, self._components.splits[split], evaluation, before
        )
        if not self._context.is_writer:  # but its shards of the module were needed
            return
        held_out = self._components.data.splits[split].positions
        positions = () if held_out is None else tuple(held_out.tolist())
        self._context.disk_space.retry(
            lambda: write_evaluation(
                evaluation, self._folder, state.step, state.epoch, draw=draw, positions=positions
            )
        )
        if state.epoch > MAX_SPACED:
            best = [] if state.best is None else [state.best.step]
            prune_evaluations(self._folder, evaluation.split, state.steps_per_epoch, best)

    def evaluate_initial(self) -> None:
        """Evaluate the model before its first step, so that plots can show what is learned.

        Image datasets are skipped: their initial metrics are at chance level, and a pass over them takes time.
        """
        if self._components.data.train.inputs.ndim == 4:
            return
        evaluation, seconds = self.evaluate(self._components.held_out_split)
        self.write_result(evaluation, seconds)

    def evaluate_epoch(self) -> bool:
        """Evaluate and count the completed epoch; returns whether it is the best so far.

        The state changes only after the evaluation: a run that is stopped during it resumes at the epoch's end.
        """
        with self._result_weights(self._state.epoch):
            return self._evaluate_epoch()

    def _evaluate_epoch(self) -> bool:
        split, state = self._components.held_out_split, self._state
        evaluation, seconds = self.evaluate(split)
        self._metrics.write_epoch(state.step, state.epoch + 1)
        value = self._monitored(evaluation) if split == "validation" else None
        best = state.end_epoch(value, evaluation.scores["loss"])
        self.write_result(evaluation, seconds, best=best)
        self._latest_test = evaluation if split == "test" else None
        latest = Latest(loss=evaluation.scores["loss"], accuracy=evaluation.scores.get("accuracy"))
        self._context.heartbeat.update(latest=latest)
        return best

    @contextmanager
    def _result_weights(self, new_in_epoch: int | None = None) -> Iterator[None]:
        """Inside the context, the module has the averaged weights, where the run averages them.

        `new_in_epoch`: the epoch after which batch norm statistics are computed for a new mean of weights.
        """
        average = self._state.average
        if average is None or not average.updates:
            yield
            return
        with average.in_place():
            if average.kind == "swa" and new_in_epoch is not None:
                self._context.heartbeat.update(phase=Phase.EVALUATING)
                with self._context.stopwatch.during("evaluate"):
                    recompute_batch_norm(
                        self._components.model.module,
                        self._components.epochs.batches(new_in_epoch).iter_from(0),
                        self._components.precision,
                        self._after_batch("train"),
                        self._components.group,
                        micro_batch=self._state.settings.micro_batch,
                    )
            yield

    def _monitored(self, evaluation: Evaluation) -> float:
        """The monitored metric, oriented so that larger is better."""
        monitor = self._state.settings.monitor
        value = evaluation.scores[monitor]
        return oriented_value(monitor, value)

    def evaluate_result(self) -> None:
        """Write the run's result: the test split, with the weights of the best epoch if there is one."""
        best = self._checkpoints.best() if self._components.experiment.weights == "best" else None
        best = self._components.group.broadcast(best, CheckpointEntry | None)
        if best is not None and best.step != self._state.step and self._load_weights(best):
            self._evaluate_result(best)
            return
        with self._result_weights():
            self._evaluate_result(best if best is not None and best.step == self._state.step else None)

    def _evaluate_result(self, weights: CheckpointEntry | None) -> None:
        """Write the result of the weights in the module: those of the checkpoint `weights`, or `None`: the last."""
        evaluation, seconds, tta = self._latest_test, 0.0, self._state.settings.tta
        if evaluation is None or weights is not None or tta != "none":
            evaluation, seconds = self.evaluate("test", tta)
        self.write_result(evaluation, seconds, final=True, weights=weights)
        self._metrics.lines.sync()

    def _load_weights(self, entry: CheckpointEntry) -> bool:
        """Load the weights of a checkpoint into the module; `False` where it is not readable."""
        self._checkpoints.share(entry)
        try:
            load_weights(self._components.model.module, result_weights(self._checkpoints.load(entry)))
        except UserError as error:
            self._context.notice(
                f"the result is of the last weights; the best checkpoint is not readable: {error}"
            )
            return False
        return True
