"""What a worker is doing, for others to see: a small file rewritten every few seconds by a thread of its own."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Literal, TypedDict, Unpack

import msgspec

from workbench.core.progress import Progress
from workbench.io.record_codec import read_record
from workbench.runs.enums import Phase
from workbench.runs.records import Best, Heartbeat, Latest, Seconds
from workbench.runs.run_folder import RunFolder, write_heartbeat

EVERY = 5.0
SOONER = 0.5
"""Seconds between beats; and after a change of phase or while there is progress to see."""

Part = Literal["load", "train", "evaluate", "paused"]


class Stopwatch:
    """Where the wall time of this attempt went: `load`, `train`, `evaluate`, `paused`; `total` since it began."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._spent: dict[Part, float] = {"load": 0.0, "train": 0.0, "evaluate": 0.0, "paused": 0.0}
        self._part: Part = "load"
        self._since = began

    def switch(self, part: Part) -> None:
        """From now on time goes to `part`."""
        now = time.monotonic()
        self._spent[self._part] += now - self._since
        self._part, self._since = part, now

    @contextlib.contextmanager
    def during(self, part: Part) -> Iterator[None]:
        """Time inside goes to `part`, afterwards to what it went to before."""
        before = self._part
        self.switch(part)
        try:
            yield
        finally:
            self.switch(before)

    def seconds(self) -> Seconds:
        """Seconds by part, as of now."""
        now = time.monotonic()
        spent = {**self._spent, self._part: self._spent[self._part] + now - self._since}
        return Seconds(
            **{name: round(value, 3) for name, value in spent.items()}, total=round(now - self._began, 3)
        )


class Shown(TypedDict, total=False):
    """What of the heartbeat the training thread sets."""

    phase: Phase
    step: int
    steps_total: int
    epoch: int
    epochs_total: int
    best: Best | None
    latest: Latest
    saved: float | None
    device: str


class HeartbeatThread:
    """Beats until it is stopped. Anything may be set from the training thread at any time; nothing waits."""

    def __init__(self, folder: RunFolder, attempt: int, watch: Stopwatch) -> None:
        self._folder, self._attempt, self._watch = folder, attempt, watch
        self._counter = 0
        self._shown = _carried_over(folder, attempt)
        self._progress: Progress | None = None
        self._from_step: int | None = None
        self._wake, self._ended = threading.Event(), threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self.beat()
        self._thread.start()

    def began(self, step: int) -> None:
        """Training begins at this step: from here on the time to the end can be estimated."""
        self._from_step = step

    def show(self, **changes: Unpack[Shown]) -> None:
        """What the next beat says beside the counter; for the training thread alone."""
        before = self._shown
        self._shown = msgspec.structs.replace(before, **changes)
        if self._shown.phase is not before.phase:
            self._progress = None
            self._wake.set()

    @property
    def phase(self) -> Phase:
        """What the next beat says is being done."""
        return self._shown.phase or Phase.LOADING

    def progress(self, progress: Progress) -> None:
        """How far a long piece of work is (an `io.progress.Report`)."""
        self._progress = progress
        self._wake.set()

    def stop(self) -> None:
        """Beat a last time and end."""
        self._ended.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self.beat()

    def beat(self) -> None:
        """Write the file once. What can't be written is tried again at the next beat."""
        with self._writing:  # or an older one could take the place of a newer one
            self.give_way()
            self._counter += 1
            write_heartbeat(self._folder, self._record())

    def _record(self) -> Heartbeat:
        shown = self._shown
        return msgspec.structs.replace(
            shown,
            counter=self._counter,
            progress=self._progress,
            eta=self._eta(shown),
            seconds=self._watch.seconds(),
        )

    def give_way(self) -> None:
        """End this process where a later attempt beats: on another host somebody took over a run that seemed dead."""
        newest = read_record(self._folder.heartbeat, Heartbeat)
        if newest is not None and newest.attempt > self._attempt:
            text = f"attempt {newest.attempt} has taken this run over: this one ends"
            print(text, file=sys.stderr, flush=True)
            os._exit(4)

    def _eta(self, shown: Heartbeat) -> float | None:
        """Seconds to the last step at the pace of this attempt, evaluations included."""
        done = shown.step - (self._from_step or 0)
        known = self._from_step is not None and shown.steps_total is not None and done > 0
        if not known or shown.phase not in {Phase.TRAINING, Phase.EVALUATING}:
            return None
        spent = self._watch.seconds()
        left = (shown.steps_total or 0) - shown.step
        return round((spent.train + spent.evaluate) / done * left, 1)

    def _beat_on(self) -> None:
        while not self._ended.is_set():
            self._ended.wait(SOONER)
            self._wake.wait(EVERY - SOONER)
            self._wake.clear()
            self.beat()


def _carried_over(folder: RunFolder, attempt: int) -> Heartbeat:
    """What a resumed run goes on showing while it loads."""
    before = read_record(folder.heartbeat, Heartbeat) or Heartbeat()
    return Heartbeat(
        attempt=attempt,
        phase=Phase.LOADING,
        step=before.step,
        steps_total=before.steps_total,
        epoch=before.epoch,
        epochs_total=before.epochs_total,
        best=before.best,
        latest=before.latest,
        saved=before.saved,
        device=before.device,
    )
