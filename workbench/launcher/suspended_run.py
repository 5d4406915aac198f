"""A suspended run: paused, and without a worker, so that its memory is free. Its supervisor answers requests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import msgspec

from workbench.config.lr_schedule import describe_lr_change
from workbench.core.errors import UserError
from workbench.io.record_codec import read_record
from workbench.runs import requests
from workbench.runs.enums import Cause, Outcome, Phase, RequestKind
from workbench.runs.journal import Journal
from workbench.runs.reader import RunReader
from workbench.runs.records import Heartbeat
from workbench.runs.requests import Answer, Request, StopReason
from workbench.runs.run_folder import RunFolder, write_heartbeat
from workbench.runs.run_report import effective_experiment
from workbench.runs.setting_changes import record_change

BEAT_SECONDS = 5.0
POLL_SECONDS = 0.2


class SuspendedRunHolder:
    """Holds a suspended run in place of the worker of `attempt`. The caller must hold the writer's lock."""

    def __init__(self, folder: RunFolder, journal: Journal, attempt: int) -> None:
        self._folder, self._journal, self._attempt = folder, journal, attempt
        self._next_beat = 0.0
        self._totals: tuple[int, int] | None = None
        """Total epochs and steps, if the number of epochs was changed while paused."""
        self._answers: dict[str, Answer] = {}
        """Answers by request id; they may not be written yet."""
        self._done = False
        self._reason: StopReason | None = None

    def wait(self, signalled: Callable[[], StopReason | None]) -> StopReason | None:
        """Return `None` once the run has to continue, or why it has to stop: on request, or by `signalled()`."""
        while not self._done:
            self._update_heartbeat()
            for request in requests.pending_requests(self._folder):
                self._process_request(request)
            if (reason := signalled()) is not None:
                return reason
            time.sleep(POLL_SECONDS)
        return self._reason

    def _process_request(self, request: Request) -> None:
        """Execute a request once and write the answer; on a full disk, writing is tried again at the next poll."""
        with contextlib.suppress(OSError):
            if request.id not in self._answers:
                self._answers[request.id] = answer = self._execute(request)
                self._journal.append(requests.journal_line(request, answer))
            answer = self._answers[request.id]
            requests.write_answer(self._folder, request, answer)
            self._done |= request.kind is RequestKind.CONTINUE and answer.outcome is Outcome.DONE

    def _execute(self, request: Request) -> Answer:
        if request.attempt < self._attempt:
            return Answer(Outcome.REJECTED, requests.TOO_LATE)
        match request.kind:
            case RequestKind.STOP:
                self._done, self._reason = True, requests.stop_reason(request.values)
                return Answer(Outcome.DONE, "stopping")
            case RequestKind.CONTINUE:
                return Answer(Outcome.DONE, "continuing")
            case RequestKind.LR | RequestKind.EPOCHS:
                return self._change_setting(request)
        return Answer(Outcome.DONE, "the run is paused, and a checkpoint of its state exists")

    def _change_setting(self, request: Request) -> Answer:
        """Record a new learning rate or number of epochs, for the worker that resumes from this step."""
        reader = RunReader(self._folder)
        view = reader.poll()
        reader.close()
        experiment = effective_experiment(view)
        if experiment is None:
            return Answer(Outcome.REJECTED, f"{self._folder.experiment} is missing or damaged")
        beat = view.heartbeat
        try:
            changed = record_change(
                self._journal, request, experiment.train, step=beat.step, epoch=beat.epoch
            )
        except (UserError, OSError) as error:
            return Answer(Outcome.REJECTED, str(error))
        remark = None
        if request.kind is RequestKind.EPOCHS:
            epochs, steps = int(changed.value), view.setup.steps_per_epoch if view.setup else 0
            self._totals = epochs, epochs * steps
            self._next_beat = 0.0
            self._update_heartbeat()
            after = msgspec.structs.replace(experiment.train, epochs=epochs)
            remark = describe_lr_change(experiment.train, after, beat.step, steps, steps)
        suffix = f"; {remark}" if remark else ""
        return Answer(Outcome.DONE, f"{changed} from step {beat.step}, once the run continues{suffix}")

    def _update_heartbeat(self) -> None:
        """Write a heartbeat, which shows other hosts that the run is held."""
        if time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + BEAT_SECONDS
        beat = read_record(self._folder.heartbeat, Heartbeat) or Heartbeat(attempt=self._attempt)
        if beat.attempt > self._attempt:
            text = f"stopped: attempt {beat.attempt} took over this run"
            self._done, self._reason = True, StopReason(Cause.TAKEN_OVER, text)
            return
        if self._totals is not None:
            epochs, steps = self._totals
            beat = msgspec.structs.replace(beat, epochs_total=epochs, steps_total=steps)
        beat = msgspec.structs.replace(beat, phase=Phase.PAUSED, counter=beat.counter + 1)
        write_heartbeat(self._folder, beat)
