"""A paused run whose worker has ended, so that its memory is free: its supervisor holds it and answers for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import msgspec

from workbench.core.errors import BadInput
from workbench.io.record_codec import read_record
from workbench.runs import requests
from workbench.runs.enums import Cause, Outcome, Phase, RequestKind
from workbench.runs.journal import Answer, Journal
from workbench.runs.reader import RunReader
from workbench.runs.records import Heartbeat
from workbench.runs.requests import Reply, Request, StopReason
from workbench.runs.run_folder import RunFolder, write_heartbeat
from workbench.runs.run_report import effective_experiment
from workbench.runs.setting_changes import note_change

BEAT_SECONDS = 5.0
POLL_SECONDS = 0.2


class Released:
    """Waits in the place of the worker of `attempt`. Use it while the writer's lock is held."""

    def __init__(self, folder: RunFolder, journal: Journal, attempt: int) -> None:
        self._folder, self._journal, self._attempt = folder, journal, attempt
        self._next_beat = 0.0
        self._totals: tuple[int, int] | None = None
        """Epochs and steps of a run whose number of epochs was changed here."""
        self._replies: dict[str, Reply] = {}
        """By their request; they may still have to be written."""
        self._over = False
        self._reason: StopReason | None = None

    def wait(self, signalled: Callable[[], StopReason | None]) -> StopReason | None:
        """Return `None` when the run is to continue, or why it is to stop: on request, or `signalled()`."""
        while not self._over:
            self._beat()
            for request in requests.pending(self._folder):
                self._answer(request)
            if (reason := signalled()) is not None:
                return reason
            time.sleep(POLL_SECONDS)
        return self._reason

    def _answer(self, request: Request) -> None:
        """Do what is asked, once, and say so; what the disk has no room for is tried again at the next look."""
        with contextlib.suppress(OSError):
            if request.id not in self._replies:
                self._replies[request.id] = reply = self._answer_to(request)
                self._journal.note(
                    Answer(request=request.kind, id=request.id, text=reply.text, outcome=reply.outcome)
                )
            reply = self._replies[request.id]
            requests.answer(self._folder, request, reply)
            self._over |= request.kind is RequestKind.CONTINUE and reply.outcome is Outcome.DONE

    def _answer_to(self, request: Request) -> Reply:
        if request.attempt < self._attempt:
            return Reply(Outcome.REJECTED, requests.TOO_LATE)
        match request.kind:
            case RequestKind.STOP:
                self._over, self._reason = True, requests.ON_REQUEST
                return Reply(Outcome.DONE, "stopping")
            case RequestKind.CONTINUE:
                return Reply(Outcome.DONE, "going on")
            case RequestKind.LR | RequestKind.EPOCHS:
                return self._change(request)
        return Reply(Outcome.DONE, "it is paused, and a checkpoint of this moment is kept")

    def _change(self, request: Request) -> Reply:
        """Put a new learning rate or number of epochs on record, for the worker that resumes from this step."""
        reader = RunReader(self._folder)
        view = reader.poll()
        reader.close()
        experiment = effective_experiment(view)
        if experiment is None:
            return Reply(Outcome.REJECTED, f"{self._folder.experiment} is missing or damaged")
        beat = view.heartbeat
        try:
            changed = note_change(self._journal, request, experiment.train, step=beat.step, epoch=beat.epoch)
        except (BadInput, OSError) as error:
            return Reply(Outcome.REJECTED, str(error))
        if request.kind is RequestKind.EPOCHS:
            epochs, steps = int(changed.value), view.setup.steps_per_epoch if view.setup else 0
            self._totals = epochs, epochs * steps
            self._next_beat = 0.0
            self._beat()
        return Reply(Outcome.DONE, f"{changed} from step {beat.step} on, when it goes on")

    def _beat(self) -> None:
        """Show other hosts that the run is held."""
        if time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + BEAT_SECONDS
        beat = read_record(self._folder.heartbeat, Heartbeat) or Heartbeat(attempt=self._attempt)
        if beat.attempt > self._attempt:
            text = f"attempt {beat.attempt} has taken this run over"
            self._over, self._reason = True, StopReason(Cause.TAKEN_OVER, text)
            return
        if self._totals is not None:
            epochs, steps = self._totals
            beat = msgspec.structs.replace(beat, epochs_total=epochs, steps_total=steps)
        beat = msgspec.structs.replace(beat, phase=Phase.PAUSED, counter=beat.counter + 1)
        write_heartbeat(self._folder, beat)
