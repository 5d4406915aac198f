"""The heartbeat of a worker: its progress in a small file that a thread rewrites every few seconds."""

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

BEAT_SECONDS = 5.0
MIN_BEAT_SECONDS = 0.5
"""Seconds between two beats, and the minimum after a change of phase or progress."""

Activity = Literal["load", "train", "evaluate", "paused"]


class Stopwatch:
    """The wall time of this attempt by activity, and in total since it started."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._spent: dict[Activity, float] = {"load": 0.0, "train": 0.0, "evaluate": 0.0, "paused": 0.0}
        self._activity: Activity = "load"
        self._since = started

    def switch(self, activity: Activity) -> None:
        """Count the time from now on as `activity`."""
        now = time.monotonic()
        self._spent[self._activity] += now - self._since
        self._activity, self._since = activity, now

    @contextlib.contextmanager
    def during(self, activity: Activity) -> Iterator[None]:
        """Count the time inside the context as `activity`, and then as the previous activity again."""
        previous = self._activity
        self.switch(activity)
        try:
            yield
        finally:
            self.switch(previous)

    def seconds(self) -> Seconds:
        """Seconds by activity up to now."""
        now = time.monotonic()
        spent = {**self._spent, self._activity: self._spent[self._activity] + now - self._since}
        return Seconds(
            **{name: round(value, 3) for name, value in spent.items()}, total=round(now - self._started, 3)
        )


class HeartbeatValues(TypedDict, total=False):
    """The values of the heartbeat that the training thread sets."""

    phase: Phase
    step: int
    steps_total: int
    epoch: int
    epochs_total: int
    best: Best | None
    latest: Latest
    checkpoint_saved_at: float | None
    device: str
    eta: float | None


class HeartbeatThread:
    """Writes the heartbeat until it is stopped. The training thread may set values at any time without waiting."""

    def __init__(self, folder: RunFolder, attempt: int, stopwatch: Stopwatch) -> None:
        self._folder, self._attempt, self._stopwatch = folder, attempt, stopwatch
        self._counter = 0
        self._values = _initial_record(folder, attempt)
        self._progress: Progress | None = None
        self._from_step: int | None = None
        self._wake, self._ended = threading.Event(), threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Write the first beat and start the thread."""
        self.beat()
        self._thread.start()

    def training_started(self, step: int) -> None:
        """Training starts at `step`; from here on the ETA can be estimated."""
        self._from_step = step

    @property
    def has_started_training(self) -> bool:
        """Whether this attempt has got to its first step."""
        return self._from_step is not None

    def update(self, **changes: Unpack[HeartbeatValues]) -> None:
        """Set values of the next beat; training thread only."""
        previous = self._values
        self._values = msgspec.structs.replace(previous, **changes)
        if self._values.phase is not previous.phase:
            self._progress = None
            self._wake.set()

    @property
    def phase(self) -> Phase:
        """The phase of the next beat."""
        return self._values.phase or Phase.LOADING

    def report_progress(self, progress: Progress) -> None:
        """Report the progress of a long operation (a `core.progress.ProgressCallback`)."""
        self._progress = progress
        self._wake.set()

    def stop(self) -> None:
        """Write the last beat and end the thread."""
        self._ended.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self.beat()

    def beat(self) -> None:
        """Write the file once. A beat that can't be written is dropped; the next one tries again."""
        with self._writing:  # so that an older beat never replaces a newer one
            self.exit_if_taken_over()
            self._counter += 1
            write_heartbeat(self._folder, self._record())

    def _record(self) -> Heartbeat:
        values = self._values
        return msgspec.structs.replace(
            values,
            counter=self._counter,
            progress=self._progress,
            eta=values.eta if self._from_step is None else self._eta(values),
            seconds=self._stopwatch.seconds(),
        )

    def exit_if_taken_over(self) -> None:
        """End this process where a later attempt has written a heartbeat.

        That attempt took over this run on another host, because this process seemed dead.
        """
        newest = read_record(self._folder.heartbeat, Heartbeat)
        if newest is not None and newest.attempt > self._attempt:
            text = f"attempt {newest.attempt} took over this run; this worker exits"
            print(text, file=sys.stderr, flush=True)
            os._exit(4)

    def _eta(self, values: Heartbeat) -> float | None:
        """Seconds to the last step at the throughput of this attempt, evaluations included."""
        done = values.step - (self._from_step or 0)
        is_known = values.steps_total is not None and done > 0
        if not is_known or values.phase not in {Phase.TRAINING, Phase.EVALUATING}:
            return None
        seconds = self._stopwatch.seconds()
        left = (values.steps_total or 0) - values.step
        return round((seconds.train + seconds.evaluate) / done * left, 1)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._ended.wait(MIN_BEAT_SECONDS)
            self._wake.wait(BEAT_SECONDS - MIN_BEAT_SECONDS)
            self._wake.clear()
            self.beat()


def _initial_record(folder: RunFolder, attempt: int) -> Heartbeat:
    """The first heartbeat of an attempt: a resumed run shows its previous progress while it loads."""
    previous = read_record(folder.heartbeat, Heartbeat) or Heartbeat()
    return Heartbeat(
        attempt=attempt,
        phase=Phase.LOADING,
        step=previous.step,
        steps_total=previous.steps_total,
        epoch=previous.epoch,
        epochs_total=previous.epochs_total,
        best=previous.best,
        latest=previous.latest,
        checkpoint_saved_at=previous.checkpoint_saved_at,
        device=previous.device,
    )
