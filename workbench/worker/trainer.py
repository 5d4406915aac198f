"""One attempt at a run: load, build, resume from the newest checkpoint, train, evaluate the result."""

from __future__ import annotations

import contextlib

import torch

from workbench.datasets.drawing import derived_seed
from workbench.datasets.file_sources import is_listed
from workbench.engine.accelerate import accelerate_step
from workbench.engine.freezing import Backbone
from workbench.engine.import_warmup import warm_up_imports
from workbench.engine.loop import StepHook, train
from workbench.engine.process_group import ProcessGroup
from workbench.engine.running_sums import RunningSums
from workbench.engine.train_state import TrainState
from workbench.io.record_codec import read_record, write_record
from workbench.runs.data_files import record_data_files
from workbench.runs.enums import Cause, Phase
from workbench.runs.journal import read_journal
from workbench.runs.metric_direction import oriented_value
from workbench.runs.records import Best, Setup
from workbench.worker.attempt import TrainingAttempt
from workbench.worker.checkpoints import CheckpointManager, estimate_checkpoint_bytes
from workbench.worker.components import TrainingComponents
from workbench.worker.context import Context
from workbench.worker.disk_space import check_disk_space
from workbench.worker.evaluator import Evaluator
from workbench.worker.file_sharing import FileSharing
from workbench.worker.group import join_group
from workbench.worker.group_callback import make_step_callback
from workbench.worker.metrics_writer import MetricsWriter
from workbench.worker.recovery import Recovery
from workbench.worker.resume import (
    StartPoint,
    load_checkpoint_into,
    nondeterminism_sources,
    open_metrics,
    row_seconds,
)
from workbench.worker.setup_record import describe_setup, model_layers
from workbench.worker.time_limit import fit_epochs
from workbench.worker.upgrade_check import UpgradeCheck, changed_versions


def run(context: Context) -> Cause:
    """Train the run in `context` to its end; returns why it ended.

    Raises `Stop`, `Suspend`, `RunFailed`, `UserError` or `Cancelled`.
    """
    with contextlib.closing(prepare(context)) as trainer:
        components = trainer.components
        context.enter_phase(Phase.TRAINING, device=components.device_label, threads=components.threads)
        with context.stopwatch.during("train"):
            trainer.train(trainer.step_callback)
        trainer.evaluator.evaluate_result()
        return Cause.EARLY_STOPPING if trainer.state.out_of_patience else Cause.COMPLETED


class Trainer:
    """Trains one attempt from its first step to its result."""

    def __init__(self, attempt: TrainingAttempt, start: StartPoint) -> None:
        self.context, self.components, self.state = attempt.context, attempt.components, attempt.state
        self.checkpoints, self.metrics, self.start = attempt.checkpoints, attempt.metrics, start
        self.recovery = Recovery(attempt)
        self.evaluator = Evaluator(attempt, self.recovery)
        self.step_callback = make_step_callback(attempt)
        self.upgrade_check = UpgradeCheck(attempt, self.evaluator)

    def evaluate_start(self) -> None:
        """Evaluate the weights before the first step: those of a new run, and of a run resumed after an upgrade."""
        self.components.group.barrier()  # the writer has cut off the metrics that the check reads
        restored = self.start.restored
        if restored is not None:
            if changed := changed_versions(read_journal(self.context.folder.journal)):
                self.upgrade_check.run(restored, changed)
            return
        self.evaluator.evaluate_initial()
        if self.components.settings.on_nan == "rollback":
            self.step_callback.save_checkpoint()

    def train(self, hook: StepHook) -> None:
        """Make all remaining steps; `hook` is called after each."""
        self.metrics.clock.restart(row_seconds(self.start.restored))
        train(self.state, self.components.epochs, self.metrics, hook, self.end_epoch, recover=self.recovery)

    def end_epoch(self) -> None:
        """Evaluate and count the completed epoch, and save a checkpoint."""
        with self.metrics.clock.stopped():
            try:
                best = self.evaluator.evaluate_epoch()
            except BaseException:
                self.step_callback.save_checkpoint_if_stopping()
                raise
            self.update_heartbeat()
            # The last checkpoint is waited for: if its weights are not finite, training can still roll back.
            self.step_callback.save_checkpoint(best=best, wait=self.state.done)
            self.context.heartbeat.update(phase=Phase.TRAINING)

    def update_heartbeat(self) -> None:
        """Show the progress of the state in the heartbeat."""
        state = self.state
        self.context.heartbeat.update(
            step=state.step,
            steps_total=state.settings.epochs * self.components.epochs.steps,
            epoch=state.epoch,
            epochs_total=state.settings.epochs,
            best=_best_epoch(state),
            device=self.components.device_label,
        )

    def close(self) -> None:
        """Wait for the checkpoint that is being written. Raises its error."""
        self.checkpoints.close()


def prepare(context: Context) -> Trainer:
    """Everything up to the first step: load, build, restore, accelerate. The caller closes the trainer.

    Raises `Stop`, `UserError` or `Cancelled`.
    """
    with contextlib.ExitStack() as stack:
        group = join_group(context)
        files = FileSharing(context, group)
        files.share_start()
        checkpoints = stack.enter_context(contextlib.closing(CheckpointManager(context.folder, files)))
        start = StartPoint(context, checkpoints)
        checkpoints.keep_checkpoint_every = start.settings.keep_checkpoint_every
        if start.restored is not None:
            _show_changed_length(context, start)
        context.disk_space.timeout = start.settings.disk_full_timeout
        trainer = Trainer(_prepare_attempt(context, checkpoints, start, group), start)
        context.heartbeat.training_started(trainer.state.step)
        trainer.update_heartbeat()
        trainer.evaluate_start()
        stack.pop_all()  # the trainer is complete, and now closes the checkpoints
        return trainer


def _show_changed_length(context: Context, start: StartPoint) -> None:
    """Show the number of epochs of a resume at once, with the steps per epoch of the previous attempt."""
    setup, epochs = read_record(context.folder.setup, Setup), start.settings.epochs
    if setup is not None and setup.steps_per_epoch:
        context.heartbeat.update(epochs_total=epochs, steps_total=setup.steps_per_epoch * epochs)


def _prepare_attempt(
    context: Context, checkpoints: CheckpointManager, start: StartPoint, group: ProcessGroup
) -> TrainingAttempt:
    components = TrainingComponents(context, start, group)
    warm_up_imports(components.settings, components.precision, processes=group.size)
    # Here, because a forward pass of a sharded model needs all processes.
    layers = model_layers(components) if context.is_writer else ()
    components.shard_model()
    sums = RunningSums(components.task, components.device, group)
    metrics = MetricsWriter(sums, open_metrics(context, start.restored), components.log_every)
    state = _restored_state(context, components, start, sums)
    acceleration = accelerate_step(state, components.epochs, context.notice)
    if fit_epochs(context, components, state):
        components.settings = state.settings
        metrics.log_every = components.log_every
    rows = components.epochs.steps * components.settings.epochs // metrics.log_every
    check_disk_space(context.folder, estimate_checkpoint_bytes(state.module, components.settings), rows)
    if context.is_writer:
        write_record(context.folder.setup, describe_setup(components, acceleration, layers))
        if is_listed(components.experiment.data.name):
            record_data_files(context.folder, components.data.file_hashes)
    return TrainingAttempt(context, components, state, checkpoints, metrics)


def _restored_state(
    context: Context, components: TrainingComponents, start: StartPoint, sums: RunningSums
) -> TrainState:
    """The state at the first step of this attempt; a notice says what makes a resumed run inexact."""
    settings = components.settings
    state = TrainState(
        Backbone(components.model.module, components.model.head),
        task=components.task,
        precision=components.precision,
        settings_history=start.settings_history,
        sums=sums,
        group=components.group,
    )
    state.steps_per_epoch = components.epochs.steps
    # Random numbers drawn while building and timing must not affect the first step.
    rank = components.group.rank
    torch.manual_seed(derived_seed(components.experiment.seed, "training", *([rank] if rank else [])))
    if start.restored is not None:
        notes = load_checkpoint_into(state, start.restored, settings.batch_size)
        previous, current = start.restored.content, components.environment()
        notes += nondeterminism_sources(previous, current, settings.deterministic)
        for note in notes:
            context.notice(f"resumed, but not exactly: {note}", exact=False)
    return state


def _best_epoch(state: TrainState) -> Best | None:
    """The best epoch, with its metric in the metric's own direction."""
    best, monitor = state.best, state.settings.monitor
    if best is None:
        return None
    return Best(value=oriented_value(monitor, best.value), epoch=best.epoch, metric=monitor)
