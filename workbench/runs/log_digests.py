"""What the list of runs shows of logs that other programs write, read a bounded time at each look at the list."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from workbench.logs.config_files import ConfigValue
from workbench.runs.external_log import ExternalLog
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_logs import RunLogs, first_time, last_time


class LogDigest(msgspec.Struct, frozen=True, gc=False):
    """The newest content of the logs of a run."""

    values: dict[str, float] = {}
    """The newest value of each metric."""
    config: dict[str, ConfigValue] = {}
    """The settings in the logs."""
    step: int = 0
    started: float = 0.0
    """The time of the first value, Unix seconds; 0 where unknown."""
    seconds: float = 0.0
    """The time from the first value to the newest one; 0 where unknown."""


@dataclass
class _Reading:
    logs: RunLogs
    paths: tuple[str, ...]
    started: float = 0.0
    digest: LogDigest = field(default_factory=LogDigest)

    def read(self, deadline: float) -> None:
        """Read what was added since the last time, until `deadline`."""
        changed = self.logs.poll()
        while self.logs.pending and time.monotonic() < deadline:
            changed |= self.logs.poll()
        if not changed:
            return
        series = {name: one for name, one in self.logs.series.items() if len(one)}
        first = first_time(series.values())
        self.started = self.started or (first if first > 0 else 0.0)
        last = last_time(series.values())
        self.digest = LogDigest(
            values={name: one.values[-1] for name, one in series.items()},
            config=self.logs.config,
            step=max((one.steps[-1] for one in series.values()), default=0),
            started=self.started,
            seconds=max(0.0, last - self.started) if self.started and math.isfinite(last) else 0.0,
        )
        self.logs.forget_history()


class LogDigests:
    """The digests of the logs of all runs; each look at them reads on where the last one ended."""

    def __init__(self) -> None:
        self._readings: dict[str, _Reading] = {}
        self._deadline = 0.0

    def start_look(self, seconds: float) -> None:
        """Allow so many seconds of reading until the next look."""
        self._deadline = time.monotonic() + seconds

    @property
    def pending(self) -> bool:
        """Whether there is more to read."""
        return any(reading.logs.pending for reading in self._readings.values())

    def has_unread(self, run_id: str) -> bool:
        """Whether there is more to read of a run."""
        reading = self._readings.get(run_id)
        return reading is not None and reading.logs.pending

    def of_external(self, folder: RunFolder, log: ExternalLog) -> LogDigest:
        """The digest of a run that another program logs."""
        sources = [place.source for place in log.external]
        return self._read(folder, tuple(map(str, log.paths)), lambda: RunLogs(sources=sources))

    def of_script(self, folder: RunFolder, paths: tuple[str, ...]) -> LogDigest:
        """The digest of the logs that a script writes by itself at `paths`."""
        return self._read(folder, paths, lambda: RunLogs(paths))

    def _read(self, folder: RunFolder, paths: tuple[str, ...], open_logs: Callable[[], RunLogs]) -> LogDigest:
        reading = self._readings.get(folder.id)
        if reading is None or reading.paths != paths:  # which logs a script writes is found out with the time
            reading = self._readings[folder.id] = _Reading(open_logs(), paths)
        reading.read(self._deadline)
        return reading.digest
