"""What happens between two steps: answers to requests, pauses, and checkpoints by time."""

from __future__ import annotations

import time

from workbench.config.lr_schedule import describe_lr_change
from workbench.core.errors import UserError
from workbench.core.settings_schema import SettingValue
from workbench.engine.settings_history import SettingOverride
from workbench.engine.train_state import TrainState
from workbench.runs.enums import Outcome, Phase, RequestKind
from workbench.runs.requests import Answer, Request
from workbench.runs.setting_changes import record_change
from workbench.worker.attempt import TrainingAttempt
from workbench.worker.checkpoint_content import CheckpointPayload, MetricsPlace
from workbench.worker.requests import POLL_SECONDS, Stop, Suspend


class StepCallback:
    """Handles requests, and saves checkpoints by time."""

    def __init__(self, attempt: TrainingAttempt) -> None:
        context = attempt.context
        self._context, self._requests, self._disk_space = context, context.requests, context.disk_space
        self._state, self._checkpoints, self._metrics = attempt.state, attempt.checkpoints, attempt.metrics
        self._run_content = attempt.components.checkpoint_content()
        self._paused = False

    def after_step(self, state: TrainState) -> None:
        """Called after every step; checks requests and the clock twice a second."""
        if not self._requests.due:
            return
        self._update_heartbeat()
        self._answer_all()
        if self._paused:
            with self._context.stopwatch.during("paused"), self._metrics.clock.stopped():
                while self._paused:
                    self._wait_paused()
        self._checkpoint_by_time()

    def save_checkpoint(self, *, best: bool = False, wait: bool = True) -> None:
        """Save a checkpoint of the current state; with `wait`, return once it is durable."""
        self._write(self._content(), best=best, wait=wait)

    def _content(self) -> CheckpointPayload:
        return {**self._state.state_dict(), **self._run_content}

    def _write(self, content: CheckpointPayload, *, best: bool, wait: bool) -> None:
        self._update_heartbeat()
        place = MetricsPlace(self._metrics.lines.offset, self._metrics.clock.seconds)
        self._disk_space.retry(
            lambda: self._checkpoints.save(content, place, best=best, sync=self._before_publish)
        )
        if wait:
            self._disk_space.retry(self._checkpoints.flush)
            self._update_heartbeat()

    def _update_heartbeat(self) -> None:
        """Show the current step and the time of the newest checkpoint in the heartbeat."""
        self._context.heartbeat.update(step=self._state.step, checkpoint_saved_at=self._checkpoints.saved_at)

    def _before_publish(self) -> None:
        """Exit where another attempt took over, and make the metrics durable before the checkpoint counts."""
        self._context.heartbeat.exit_if_taken_over()
        self._metrics.lines.sync()

    def save_checkpoint_if_stopping(self) -> None:
        """Save a checkpoint if a stop was requested."""
        if self._requests.stop is not None:
            self.save_checkpoint()

    def _answer_all(self) -> None:
        for request in self._requests.pending():
            self._answer_one(request)
        if self._requests.stop is not None:
            self._context.heartbeat.update(phase=Phase.STOPPING)
            self.save_checkpoint()
            raise Stop(self._requests.stop)
        if self._requests.checkpoint:
            self._requests.checkpoint = False
            self.save_checkpoint()

    def _answer_one(self, request: Request) -> None:
        match request.kind:
            case RequestKind.STOP:
                self._requests.accept_stop(request)
            case RequestKind.CHECKPOINT:
                self.save_checkpoint()
                self._confirm(request, f"saved at step {self._state.step}")
            case RequestKind.PAUSE if request.values.suspend:
                self._suspend(request)
            case RequestKind.PAUSE:
                self._pause(True)
                self._confirm(request, f"paused at step {self._state.step}")
            case RequestKind.CONTINUE:
                text = "training continues" if self._paused else "the run was not paused"
                self._pause(False)
                self._confirm(request, text)
            case RequestKind.LR | RequestKind.EPOCHS:
                self._requests.answer(request, self._change_setting(request))

    def _confirm(self, request: Request, text: str) -> None:
        self._requests.answer(request, Answer(Outcome.DONE, text))

    def _pause(self, paused: bool) -> None:
        if paused and not self._paused:
            self.save_checkpoint()
        if paused != self._paused:
            self._paused = paused
            self._context.enter_phase(Phase.PAUSED if paused else Phase.TRAINING, step=self._state.step)

    def _suspend(self, request: Request) -> None:
        """Pause by ending this process; a new one continues from the checkpoint. A stop request takes precedence."""
        self.save_checkpoint()
        if not self._paused:
            self._context.enter_phase(Phase.PAUSED, step=self._state.step)
        self._confirm(request, f"paused at step {self._state.step} and suspended: its memory is free")
        if self._requests.stop is None:
            raise Suspend

    def _wait_paused(self) -> None:
        time.sleep(POLL_SECONDS / 5)
        if self._requests.due:
            self._answer_all()

    def _change_setting(self, request: Request) -> Answer:
        """Apply a new learning rate or number of epochs; it is recorded and durable before it is used."""
        state, step, before = self._state, self._state.step, self._state.settings
        try:
            changed = record_change(
                self._context.journal, request, state.settings, step=step, epoch=state.epoch
            )
        except UserError as error:
            return Answer(Outcome.REJECTED, str(error))
        self._override(changed.key, changed.value)
        epochs = self._state.settings.epochs
        self._context.heartbeat.update(steps_total=epochs * self._state.steps_per_epoch, epochs_total=epochs)
        steps = state.steps_per_epoch
        remark = request.kind is RequestKind.EPOCHS and describe_lr_change(
            before, state.settings, step, steps, steps
        )
        return Answer(Outcome.DONE, f"{changed} from step {step} on{f'; {remark}' if remark else ''}")

    def _override(self, key: str, value: SettingValue) -> None:
        """Use a new value of `train.KEY` from this step on."""
        self._state.settings_history.add(SettingOverride(self._state.step, key, value))
        self._state.refresh_settings()

    def _checkpoint_by_time(self) -> None:
        if self._checkpoints.busy:
            return
        self._disk_space.retry(self._checkpoints.flush)  # raises the error of a checkpoint that failed
        if time.monotonic() - self._checkpoints.last_started >= self._state.settings.checkpoint_seconds:
            self.save_checkpoint(wait=False)
