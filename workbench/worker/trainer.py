"""One attempt at a run: load, build, go on from the newest checkpoint, train, measure the result."""

from __future__ import annotations

import torch

from workbench.datasets.dataset import derived_seed
from workbench.engine.accelerate import Acceleration, quicken
from workbench.engine.freezing import Backbone
from workbench.engine.import_warmup import rehearse
from workbench.engine.loop import BetweenSteps, train
from workbench.engine.running_sums import Sums
from workbench.engine.train_state import TrainState
from workbench.io.record_codec import write_record
from workbench.runs.enums import Cause, Phase
from workbench.runs.journal import read_journal
from workbench.runs.metric_direction import oriented
from workbench.runs.records import Best, Setup
from workbench.system.machine_info import cpu_name
from workbench.worker.checkpoint_content import Circumstances, ModelSpec, RunContent
from workbench.worker.checkpoints import Checkpoints, checkpoint_bytes
from workbench.worker.components import Parts
from workbench.worker.context import Context
from workbench.worker.disk_space import check_space
from workbench.worker.evaluator import Measuring
from workbench.worker.metrics_writer import Report
from workbench.worker.recovery import Recovery
from workbench.worker.resume import Beginning, differences, open_metrics, take_over
from workbench.worker.setup_record import describe_data, describe_model, device_name
from workbench.worker.step_callback import Steering
from workbench.worker.upgrade_check import Comparison, changed_versions


def run(context: Context) -> Cause:
    """Train the run in `context` to its end, and return why that was the end.

    Raises `Stop`, `Release`, `RunFailed`, `BadInput` or `Interrupted`.
    """
    attempt = Attempt(context)
    try:
        attempt.prepare()
        context.phase(Phase.TRAINING, device=str(attempt.parts.device), threads=attempt.parts.threads)
        with context.watch.during("train"):
            attempt.train(attempt.steering)
        attempt.measure()
        return Cause.EARLY_STOPPING if attempt.state.out_of_patience else Cause.COMPLETED
    finally:
        attempt.checkpoints.close()


class Attempt:
    """The parts of one attempt, put together in `prepare`."""

    parts: Parts
    report: Report
    state: TrainState
    quick: Acceleration
    steering: Steering
    recovery: Recovery
    measuring: Measuring

    def __init__(self, context: Context) -> None:
        self.context = context
        self.folder = context.folder
        self.checkpoints = Checkpoints(self.folder)
        self.beginning = Beginning(context, self.checkpoints)
        self.checkpoints.keep_every = self.beginning.settings.keep_every
        context.room.seconds = self.beginning.settings.wait_for_space

    def prepare(self) -> None:
        """Everything up to the first step."""
        self.parts = parts = Parts(self.context, self.beginning)
        self.epochs = parts.epochs
        rehearse(parts.settings, parts.precision)
        self.report = self._report()
        self.state = self._state()
        self._check_space()
        self.quick = quicken(self.state, self.epochs, self.context.notice)
        write_record(self.folder.setup, self._setup())
        self.steering = Steering(self.context, self.state, self.checkpoints, self.report, self._extra())
        self.recovery = Recovery(
            self.context, self.state, self.checkpoints, self.report, parts.settings.batch_size
        )
        self.measuring = Measuring(self.context, parts, self.state, self.report, self.recovery)
        self.context.heartbeat.began(self.state.step)
        self._show()
        self._measure_start()

    def _measure_start(self) -> None:
        """What is known of the weights before the first step of this attempt."""
        restored = self.beginning.restored
        if restored is not None:
            if changed := changed_versions(read_journal(self.folder.journal)):
                Comparison(self.context, self.parts, self.checkpoints, self.measuring).make(restored, changed)
            return
        self.measuring.start()
        if self.parts.settings.on_nan == "go_back":
            self.steering.checkpoint()

    def train(self, requests: BetweenSteps) -> None:
        """All steps that are left; `requests` is asked between two of them."""
        train(self.state, self.epochs, self.report, requests, self.end_epoch, recover=self.recovery)

    def _report(self) -> Report:
        sums = Sums(self.parts.task, self.parts.device)
        return Report(sums, open_metrics(self.context, self.beginning.restored), self.parts.report_every)

    def _state(self) -> TrainState:
        parts, restored = self.parts, self.beginning.restored
        state = TrainState(
            Backbone(parts.built.module, parts.built.head),
            task=parts.task,
            precision=parts.precision,
            timeline=self.beginning.timeline,
            sums=self.report.sums,
        )
        state.steps_per_epoch = parts.epochs.steps
        # Whatever building and timing drew must not be seen by the first step.
        torch.manual_seed(derived_seed(parts.experiment.seed, "training"))
        if restored is not None:
            notes = take_over(state, restored, parts.settings.batch_size)
            for note in notes + differences(restored.content, self._circumstances(), parts.settings.exact):
                self.context.notice(f"resumed, but not exactly: {note}", exact=False)
        return state

    def _check_space(self) -> None:
        rows = self.epochs.steps * self.parts.settings.epochs // self.report.every
        check_space(self.folder, checkpoint_bytes(self.state.module, self.parts.settings), rows)

    def _circumstances(self) -> Circumstances:
        """What the bits of the result depend on beside the state."""
        return {
            "threads": self.parts.threads,
            "channels_last": self.parts.channels_last,
            "batch_size": self.parts.settings.batch_size,
            "device": self.parts.device.type,
            "processor": cpu_name() if self.parts.device.type == "cpu" else device_name(self.parts.device),
            "torch": str(torch.__version__),
        }

    def _extra(self) -> RunContent:
        """What a checkpoint holds beside the state: what is needed to use its weights elsewhere."""
        data = self.parts.data
        spec = ModelSpec(
            model=self.parts.experiment.model,
            shape=tuple(data.train.inputs.shape[1:]),
            classes=tuple(data.classes),
            task=data.task,
            preprocessing=self.parts.preprocessing,
        )
        return {
            **self._circumstances(),
            "fingerprint": data.fingerprint,
            "report_every": self.report.every,
            "spec": spec.to_json(),
        }

    def _setup(self) -> Setup:
        """What the experiment became."""
        parts = self.parts
        setup = describe_data(self._compute_setup(), parts.data)
        return describe_model(
            setup, parts.built.module, parts.preprocessing, tuple(parts.data.train.inputs.shape[1:])
        )

    def _compute_setup(self) -> Setup:
        """Where and how it computes, and its steps."""
        parts, steps = self.parts, self.parts.epochs.steps
        return Setup(
            device=str(parts.device),
            device_name=device_name(parts.device),
            resident=parts.sources["train"].resident,
            compile=self.quick.compile,
            cuda_graph=self.quick.cuda_graph,
            execution=parts.execution(self.quick),
            threads=parts.threads,
            channels_last=parts.channels_last,
            precision=parts.precision.name,
            report_every=self.report.every,
            steps_per_epoch=steps,
            steps_total=steps * parts.settings.epochs,
        )

    def _show(self) -> None:
        state = self.state
        self.context.heartbeat.show(
            step=state.step,
            steps_total=state.settings.epochs * self.epochs.steps,
            epoch=state.epoch,
            epochs_total=state.settings.epochs,
            best=self._best(),
            device=str(self.parts.device),
        )

    def _best(self) -> Best | None:
        """The best epoch with its metric as it was measured."""
        best, monitor = self.state.best, self.state.settings.monitor
        if best is None:
            return None
        return Best(value=oriented(monitor, best.value), epoch=best.epoch, metric=monitor)

    def end_epoch(self) -> None:
        """Evaluate the epoch that ended, count it, and keep a checkpoint."""
        try:
            best = self.measuring.epoch()
        except BaseException:
            self.steering.checkpoint_if_stopped()
            raise
        self._show()
        # The last one is waited for: where its weights are no numbers, training can still go back.
        self.steering.checkpoint(best=best, wait=self.state.done)
        self.context.heartbeat.show(phase=Phase.TRAINING)
        self.report.restart_clock()

    def measure(self) -> None:
        """The run's result."""
        self.measuring.result(self.checkpoints)
