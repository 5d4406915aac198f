"""The logs that other programs write (event files, CSV tables, …), read live as the metrics of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from workbench.io.record_codec import Record
from workbench.logs.config_files import ConfigValue
from workbench.logs.discovery import find_logs
from workbench.logs.log import Log
from workbench.logs.open_log import open_log
from workbench.logs.references import Reference
from workbench.logs.series import Series
from workbench.logs.source import LogSource
from workbench.runs.external_log import ExternalLog
from workbench.runs.script import Script

SEARCH_SECONDS = 5.0
"""The interval between two searches for new logs."""
SLICE_SECONDS = 0.02
"""A long log is read in parts of about this time, so that a screen does not freeze."""


class FoundLogs(Record, frozen=True, kw_only=True):
    """`logs.json`: the logs that have grown below the working directory of a script, absolute."""

    paths: tuple[str, ...] = ()


class RunLogs:
    """Some logs, and those in some files and folders, including logs that appear later."""

    def __init__(self, paths: Sequence[str] = (), sources: Iterable[LogSource] = ()) -> None:
        self._paths = [Path(path) for path in paths]
        self._logs: dict[LogSource, Log] = {source: open_log(source) for source in sources}
        self._search_due = 0.0

    @property
    def pending(self) -> bool:
        """Whether another `poll` would read more."""
        return any(log.pending for log in self._logs.values())

    def poll(self) -> bool:
        """Read some of what was added; whether anything changed."""
        if self._paths and time.monotonic() >= self._search_due:
            self._search_due = time.monotonic() + SEARCH_SECONDS
            for source in [source for path in self._paths for source in find_logs(path)]:
                if source not in self._logs:
                    self._logs[source] = open_log(source)
        changed = [log.poll(SLICE_SECONDS) for log in self._logs.values()]  # each is polled
        return any(changed)

    @property
    def series(self) -> dict[str, Series]:
        """The metrics by name; of several logs, with the name of the log's file or folder before them."""
        return {self._name(log, name): series for log in self._all() for name, series in log.series.items()}

    @property
    def images(self) -> dict[str, list[Reference[bytes]]]:
        """The images by name, named as the metrics are."""
        return {self._name(log, name): images for log in self._all() for name, images in log.images.items()}

    @property
    def config(self) -> dict[str, ConfigValue]:
        """The settings in the logs."""
        return _merged(log.config for log in self._all())

    @property
    def summary(self) -> dict[str, ConfigValue]:
        """The results that the programs have noted."""
        return _merged(log.summary for log in self._all())

    @property
    def notices(self) -> tuple[str, ...]:
        """What could not be read as it was, for people."""
        several = len(self._logs) > 1
        return tuple(
            f"{log.source.path.name}: {line}" if several else line
            for log in self._all()
            for line in log.notice_lines
        )

    def forget_history(self) -> None:
        """Forget all points but the newest of each metric, for who needs no others."""
        for log in self._all():
            log.forget_history()

    def _all(self) -> list[Log]:
        return list(self._logs.values())

    def _name(self, log: Log, name: str) -> str:
        return f"{log.source.path.name}/{name}" if len(self._logs) > 1 else name


def first_time(series: Iterable[Series]) -> float:
    """The earliest wall time of some series, Unix seconds; NaN where none is known."""
    times = [one.wall_times[0] for one in series if one.wall_times and math.isfinite(one.wall_times[0])]
    return min(times, default=math.nan)


def last_time(series: Iterable[Series]) -> float:
    """The latest wall time of the newest points of some series, Unix seconds; NaN where none is known."""
    times = [one.wall_times[-1] for one in series if one.wall_times and math.isfinite(one.wall_times[-1])]
    return max(times, default=math.nan)


def _merged(parts: Iterable[Mapping[str, ConfigValue]]) -> dict[str, ConfigValue]:
    return {name: value for part in parts for name, value in part.items()}


def open_logs(external: ExternalLog | None, script: Script | None, found: FoundLogs | None) -> RunLogs | None:
    """The logs that other programs write for a run; `None` where none are known."""
    if external is not None:
        return RunLogs(sources=[log.source for log in external.external])
    paths = (script.logs if script else ()) or (found.paths if found else ())
    return RunLogs(paths) if paths else None
