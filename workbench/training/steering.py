"""What is done between two steps because a person, a signal or the clock asks for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from workbench.errors import BadInput
from workbench.runs.control import NOT_DONE, Request
from workbench.settings import convert
from workbench.training.checkpoint import Checkpoints
from workbench.training.context import Context
from workbench.training.report import Report
from workbench.training.requests import POLL_SECONDS, Release, Stop
from workbench.training.state import TrainState
from workbench.training.timeline import Change
from workbench.trainsettings import Train


class Steering:
    """Answers requests, and keeps checkpoints by time."""

    def __init__(
        self,
        context: Context,
        state: TrainState,
        checkpoints: Checkpoints,
        report: Report,
        extra: Mapping[str, Any],
    ) -> None:
        self._context, self._requests, self._room = context, context.requests, context.room
        self._state, self._checkpoints, self._report, self._extra = state, checkpoints, report, extra
        self._paused = False

    def answer(self, state: TrainState) -> None:
        """Called after every step: looks at the clock, and at the rest twice a second."""
        if not self._requests.due:
            return
        self._context.heartbeat.show(step=state.step)
        self._answer_all()
        if self._paused:
            with self._context.watch.during("paused"):
                while self._paused:
                    self._wait_paused()
        self._checkpoint_by_time()

    def checkpoint(self, *, best: bool = False, wait: bool = True) -> None:
        """Keep this moment; with `wait`, return when it is durable."""
        self._context.heartbeat.show(step=self._state.step)
        content = {**self._state.state_dict(), **self._extra}
        offset = self._report.metrics.offset
        self._room.keep_trying(
            lambda: self._checkpoints.save(content, offset=offset, best=best, sync=self._before_it_counts)
        )
        if wait:
            self._room.keep_trying(self._checkpoints.settle)

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
            self._context.heartbeat.show(phase="stopping")
            self.checkpoint()
            raise Stop(self._requests.stop)
        if self._requests.checkpoint:
            self._requests.checkpoint = False
            self.checkpoint()

    def _answer_one(self, request: Request) -> None:
        match request.what:
            case "stop":
                self._requests.take_stop(request)
            case "checkpoint":
                self.checkpoint()
                self._requests.answer(request, f"saved at step {self._state.step}")
            case "pause" if request.values.get("release"):
                self._release(request)
            case "pause":
                self._pause(True)
                self._requests.answer(request, f"paused at step {self._state.step}")
            case "continue":
                self._pause(False)
                self._requests.answer(request, "going on")
            case "lr" | "epochs":
                self._requests.answer(request, self._change(request))

    def _pause(self, paused: bool) -> None:
        if paused and not self._paused:
            self.checkpoint()
        if paused != self._paused:
            self._paused = paused
            self._context.phase("paused" if paused else "training", step=self._state.step)

    def _release(self, request: Request) -> None:
        """Pause by ending this process: a new one goes on exactly from the checkpoint."""
        self.checkpoint()
        if not self._paused:
            self._context.phase("paused", step=self._state.step)
        self._requests.answer(request, f"paused at step {self._state.step}, its memory is given back")
        raise Release

    def _wait_paused(self) -> None:
        time.sleep(POLL_SECONDS / 5)
        if self._requests.due:
            self._answer_all()
        if not self._paused:
            self._report.restart_clock()

    def _change(self, request: Request) -> str:
        """Apply a new learning rate or number of epochs; it is on record and durable before it is used."""
        settings = self._state.settings
        try:
            key, value = wanted(request, settings)
            convert(Train, {key: value}, "train")
        except (BadInput, TypeError, ValueError, OverflowError) as error:
            return f"{NOT_DONE}{error}"
        if key == "epochs":
            value = max(value, self._state.epoch + 1)
        before, step = getattr(settings, key), self._state.step
        journal = self._context.journal
        journal.note(
            "change", setting=f"train.{key}", value=value, before=before, step=step, request=request.id
        )
        journal.sync()
        self._state.timeline.add(Change(step, key, value))
        self._state.renew_settings()
        epochs = self._state.settings.epochs
        self._context.heartbeat.show(steps_total=epochs * self._state.steps_per_epoch, epochs_total=epochs)
        return f"{key} {before:g} → {value:g} from step {step} on"

    def _checkpoint_by_time(self) -> None:
        if self._checkpoints.busy:
            return
        self._room.keep_trying(self._checkpoints.settle)  # where the one before failed, it is seen here
        if time.monotonic() - self._checkpoints.time >= self._state.settings.checkpoint_seconds:
            self.checkpoint(wait=False)


def wanted(request: Request, settings: Train) -> tuple[str, Any]:
    """The setting and the value that a request asks for.

    `lr`: `{"value": x}` or `{"times": x}`; `epochs`: `{"value": n}` or `{"add": n}`.
    """
    values = request.values
    if request.what == "lr":
        return "lr", float(
            values["value"] if "value" in values else settings.lr * float(values.get("times", 1))
        )
    value = values["value"] if "value" in values else settings.epochs + int(values.get("add", 0))
    return "epochs", int(value)
