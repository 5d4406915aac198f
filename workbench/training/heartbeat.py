"""What a worker is doing, for others to see: a small file rewritten every few seconds by a thread of its own."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

from workbench.io.atomic import read_json, write_bytes, write_over
from workbench.io.progress import Progress
from workbench.runs.layout import RunFolder
from workbench.runs.records import encode

EVERY = 5.0
SOONER = 0.5
"""Seconds between beats; and after a change of phase or while there is progress to see."""
CARRIED = ("step", "steps_total", "epoch", "epochs_total", "best", "latest", "device", "saved")
"""What a resumed run goes on saying while it loads."""


Part = Literal["load", "train", "evaluate", "paused"]


class Stopwatch:
    """Where the wall time of this attempt went: `load`, `train`, `evaluate`, `paused`; `total` since it began."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._spent = {"load": 0.0, "train": 0.0, "evaluate": 0.0, "paused": 0.0}
        self._part = "load"
        self._since = began

    def switch(self, part: Part) -> None:
        """From now on time goes to `part`."""
        now = time.monotonic()
        self._spent[self._part] += now - self._since
        self._part, self._since = part, now

    @contextlib.contextmanager
    def during(self, part: Part) -> Iterator[None]:
        """Time inside goes to `part`, afterwards to what it went to before."""
        before: Any = self._part
        self.switch(part)
        try:
            yield
        finally:
            self.switch(before)

    def seconds(self) -> dict[str, float]:
        """Seconds by part, as of now."""
        now = time.monotonic()
        spent = {**self._spent, self._part: self._spent[self._part] + now - self._since}
        return {name: round(value, 3) for name, value in {**spent, "total": now - self._began}.items()}


class Heartbeat:
    """Beats until it is stopped. Anything may be set from the training thread at any time; nothing waits."""

    def __init__(self, folder: RunFolder, attempt: int, watch: Stopwatch) -> None:
        self._folder, self._attempt, self._watch = folder, attempt, watch
        self._counter = 0
        before = read_json(folder.heartbeat) or {}
        known = {name: before[name] for name in CARRIED if name in before}
        self._shown: dict[str, Any] = {"step": 0, "epoch": 0, **known, "phase": "loading"}
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
        """Training begins at this step: from here on the time to the end can be told."""
        self._from_step = step

    def show(self, **values: Any) -> None:
        """What the next beat says beside the counter: `phase`, `step`, `steps_total`, `epoch`, `best`, ..."""
        changed = values.get("phase", self._shown["phase"]) != self._shown["phase"]
        self._shown = {**self._shown, **values}
        if changed:
            self._progress = None
            self._wake.set()

    @property
    def phase(self) -> str:
        """What the next beat says is being done."""
        return str(self._shown["phase"])

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
            self._beat()

    def _beat(self) -> None:
        self.give_way()
        self._counter += 1
        record = {
            "attempt": self._attempt,
            "counter": self._counter,
            **self._shown,
            "progress": _described(self._progress),
            "eta": self._eta(),
            "seconds": self._watch.seconds(),
            "time": round(time.time(), 3),
        }
        with contextlib.suppress(OSError):
            try:
                write_bytes(self._folder.heartbeat, encode(record), durable=False)
            except (
                OSError
            ):  # a full disk has no room for a second file; the one that is there can be written over
                write_over(self._folder.heartbeat, encode(record))

    def give_way(self) -> None:
        """End this process where a later attempt beats: on another host somebody took over a run that seemed dead."""
        newest = (read_json(self._folder.heartbeat) or {}).get("attempt")
        if isinstance(newest, int) and newest > self._attempt:
            print(f"attempt {newest} has taken this run over: this one ends", file=sys.stderr, flush=True)
            os._exit(4)

    def _eta(self) -> float | None:
        """Seconds to the last step at the pace of this attempt, evaluations included."""
        done = self._shown["step"] - (self._from_step or 0)
        if self._from_step is None or done <= 0 or self._shown["phase"] not in {"training", "evaluating"}:
            return None
        spent = self._watch.seconds()
        left = self._shown["steps_total"] - self._shown["step"]
        return round((spent["train"] + spent["evaluate"]) / done * left, 1)

    def _beat_on(self) -> None:
        while not self._ended.is_set():
            self._ended.wait(SOONER)
            self._wake.wait(EVERY - SOONER)
            self._wake.clear()
            self.beat()


def _described(progress: Progress | None) -> dict[str, Any] | None:
    if progress is None:
        return None
    return {"what": progress.what, "done": progress.done, "total": progress.total, "unit": progress.unit}
