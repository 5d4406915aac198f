"""What is done between two steps because a person, a signal or the clock asks for it."""

from __future__ import annotations

import time

from workbench.core.errors import BadInput
from workbench.engine.settings_history import Change
from workbench.engine.train_state import TrainState
from workbench.runs.enums import Outcome, Phase, RequestKind
from workbench.runs.requests import Reply, Request
from workbench.runs.setting_changes import note_change
from workbench.worker.checkpoint_content import Moment, RunContent
from workbench.worker.checkpoints import Checkpoints
from workbench.worker.context import Context
from workbench.worker.metrics_writer import Report
from workbench.worker.requests import POLL_SECONDS, Release, Stop


class Steering:
    """Answers requests, and keeps checkpoints by time."""

    def __init__(
        self,
        context: Context,
        state: TrainState,
        checkpoints: Checkpoints,
        report: Report,
        extra: RunContent,
    ) -> None:
        self._context, self._requests, self._room = context, context.requests, context.room
        self._state, self._checkpoints, self._report, self._extra = state, checkpoints, report, extra
        self._paused = False

    def answer(self, state: TrainState) -> None:
        """Called after every step: looks at the clock, and at the rest twice a second."""
        if not self._requests.due:
            return
        self._show()
        self._answer_all()
        if self._paused:
            with self._context.watch.during("paused"):
                while self._paused:
                    self._wait_paused()
        self._checkpoint_by_time()

    def checkpoint(self, *, best: bool = False, wait: bool = True) -> None:
        """Keep this moment; with `wait`, return when it is durable."""
        self._show()
        content: Moment = {**self._state.state_dict(), **self._extra}
        offset = self._report.metrics.offset
        self._room.keep_trying(
            lambda: self._checkpoints.save(content, offset=offset, best=best, sync=self._before_it_counts)
        )
        if wait:
            self._room.keep_trying(self._checkpoints.settle)
            self._show()

    def _show(self) -> None:
        """Report the step and the time of the newest checkpoint, which is then known outside their folder too."""
        self._context.heartbeat.show(step=self._state.step, saved=self._checkpoints.saved_at)

    def _before_it_counts(self) -> None:
        """The run is still ours, and the metrics before a checkpoint are on the disk."""
        self._context.heartbeat.give_way()
        self._report.metrics.sync()

    def checkpoint_if_stopped(self) -> None:
        """Keep this moment if the run ends here because somebody asked for it."""
        if self._requests.stop is not None:
            self.checkpoint()

    def _answer_all(self) -> None:
        for request in self._requests.pending():
            self._answer_one(request)
        if self._requests.stop is not None:
            self._context.heartbeat.show(phase=Phase.STOPPING)
            self.checkpoint()
            raise Stop(self._requests.stop)
        if self._requests.checkpoint:
            self._requests.checkpoint = False
            self.checkpoint()

    def _answer_one(self, request: Request) -> None:
        match request.kind:
            case RequestKind.STOP:
                self._requests.take_stop(request)
            case RequestKind.CHECKPOINT:
                self.checkpoint()
                self._done(request, f"saved at step {self._state.step}")
            case RequestKind.PAUSE if request.values.release:
                self._release(request)
            case RequestKind.PAUSE:
                self._pause(True)
                self._done(request, f"paused at step {self._state.step}")
            case RequestKind.CONTINUE:
                text = "going on" if self._paused else "it goes on already, nothing was paused"
                self._pause(False)
                self._done(request, text)
            case RequestKind.LR | RequestKind.EPOCHS:
                self._requests.answer(request, self._change(request))

    def _done(self, request: Request, text: str) -> None:
        self._requests.answer(request, Reply(Outcome.DONE, text))

    def _pause(self, paused: bool) -> None:
        if paused and not self._paused:
            self.checkpoint()
        if paused != self._paused:
            self._paused = paused
            self._context.phase(Phase.PAUSED if paused else Phase.TRAINING, step=self._state.step)

    def _release(self, request: Request) -> None:
        """Pause by ending this process: a new one goes on exactly from the checkpoint. A stop comes first."""
        self.checkpoint()
        if not self._paused:
            self._context.phase(Phase.PAUSED, step=self._state.step)
        self._done(request, f"paused at step {self._state.step}, its memory is given back")
        if self._requests.stop is None:
            raise Release

    def _wait_paused(self) -> None:
        time.sleep(POLL_SECONDS / 5)
        if self._requests.due:
            self._answer_all()
        if not self._paused:
            self._report.restart_clock()

    def _change(self, request: Request) -> Reply:
        """Apply a new learning rate or number of epochs; it is on record and durable before it is used."""
        state, step = self._state, self._state.step
        try:
            changed = note_change(
                self._context.journal, request, state.settings, step=step, epoch=state.epoch
            )
        except BadInput as error:
            return Reply(Outcome.REJECTED, str(error))
        state.timeline.add(Change(step, changed.key, changed.value))
        state.renew_settings()
        epochs = self._state.settings.epochs
        self._context.heartbeat.show(steps_total=epochs * self._state.steps_per_epoch, epochs_total=epochs)
        return Reply(Outcome.DONE, f"{changed} from step {step} on")

    def _checkpoint_by_time(self) -> None:
        if self._checkpoints.busy:
            return
        self._room.keep_trying(self._checkpoints.settle)  # where the one before failed, it is seen here
        if time.monotonic() - self._checkpoints.time >= self._state.settings.checkpoint_seconds:
            self.checkpoint(wait=False)
