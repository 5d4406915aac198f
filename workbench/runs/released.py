"""A paused run whose worker has ended, so that its memory is free: its supervisor holds it and answers for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from workbench.errors import BadInput
from workbench.io.atomic import read_json, write_bytes
from workbench.runs import control
from workbench.runs.changing import note_change
from workbench.runs.layout import RunFolder
from workbench.runs.reader import RunReader
from workbench.runs.records import Journal, encode
from workbench.runs.report import effective_experiment
from workbench.settings import convert
from workbench.trainsettings import Train

BEAT_SECONDS = 5.0
POLL_SECONDS = 0.2
GOING_ON = "going on"


class Released:
    """Waits in the place of the worker of `attempt`. Use it while the writer's lock is held."""

    def __init__(self, folder: RunFolder, journal: Journal, attempt: int) -> None:
        self._folder, self._journal, self._attempt = folder, journal, attempt
        self._next_beat = 0.0
        self._shown: dict[str, int] = {}
        self._said: dict[str, str] = {}
        """Answers by their request, which may still have to be written."""
        self._over = False
        self._reason: str | None = None

    def wait(self, signalled: Callable[[], str | None]) -> str | None:
        """Return `None` when the run is to go on, or why it is to stop: asked for, or `signalled()`."""
        while not self._over:
            self._beat()
            for request in control.pending(self._folder):
                self._answer(request)
            if (reason := signalled()) is not None:
                return reason
            time.sleep(POLL_SECONDS)
        return self._reason

    def _answer(self, request: control.Request) -> None:
        """Do what is asked, once, and say so; what the disk has no room for is tried again at the next look."""
        with contextlib.suppress(OSError):
            if request.id not in self._said:
                self._said[request.id] = text = self._answer_to(request)
                self._journal.note("answer", request=request.what, id=request.id, text=text)
            control.answer(self._folder, request, self._said[request.id])
            self._over |= self._said[request.id] == GOING_ON

    def _answer_to(self, request: control.Request) -> str:
        if request.attempt < self._attempt:
            return control.TOO_LATE
        match request.what:
            case "stop":
                self._over, self._reason = True, control.ON_REQUEST
                return "stopping"
            case "continue":
                return GOING_ON
            case "lr" | "epochs":
                return self._change(request)
        return "it is paused, and a checkpoint of this moment is kept"

    def _change(self, request: control.Request) -> str:
        """Put a new learning rate or number of epochs on record, for the worker that goes on from this step."""
        reader = RunReader(self._folder)
        view = reader.poll()
        reader.close()
        settings = convert(Train, effective_experiment(view)["train"], "train")
        step, epoch = (int(view.heartbeat.get(name) or 0) for name in ("step", "epoch"))
        try:
            changed = note_change(self._journal, request, settings, step=step, epoch=epoch)
        except (BadInput, OSError) as error:
            return f"{control.NOT_DONE}{error}"
        if changed.key == "epochs":
            self._show_epochs(changed.value, int((view.setup or {}).get("steps_per_epoch") or 0))
        return f"{changed} from step {step} on, when it goes on"

    def _show_epochs(self, epochs: int, steps: int) -> None:
        """The next beat tells how many there are now, of so many steps each."""
        self._shown = {"epochs_total": epochs, "steps_total": epochs * steps}
        self._next_beat = 0.0
        self._beat()

    def _beat(self) -> None:
        """Show other hosts that somebody is there."""
        if time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + BEAT_SECONDS
        record = read_json(self._folder.heartbeat) or {"attempt": self._attempt}
        if (newest := int(record.get("attempt") or 0)) > self._attempt:
            self._over, self._reason = True, f"attempt {newest} has taken this run over"
            return
        beat = {
            **record,
            **self._shown,
            "counter": int(record.get("counter") or 0) + 1,
            "time": round(time.time(), 3),
        }
        with contextlib.suppress(OSError):
            write_bytes(self._folder.heartbeat, encode({**beat, "phase": control.PAUSED}), durable=False)
