"""The logs that a script writes by itself (event files, CSV tables, …), read live as the metrics of its run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from workbench.io.record_codec import Record
from workbench.logs.discovery import find_logs
from workbench.logs.log import Log
from workbench.logs.open_log import open_log
from workbench.logs.series import Series
from workbench.logs.source import LogSource

SEARCH_SECONDS = 5.0
"""The interval between two searches for new logs."""
SLICE_SECONDS = 0.02
"""A long log is read in parts of about this time, so that a screen does not freeze."""


class FoundLogs(Record, frozen=True, kw_only=True):
    """`logs.json`: the logs that have grown below the working directory of a script, absolute."""

    paths: tuple[str, ...] = ()


class ScriptLogs:
    """The logs in some files and folders, those included that appear later."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = [Path(path) for path in paths]
        self._logs: dict[LogSource, Log] = {}
        self._search_due = 0.0

    @property
    def pending(self) -> bool:
        """Whether another `poll` would read more."""
        return any(log.pending for log in self._logs.values())

    def poll(self) -> bool:
        """Read some of what was added; whether anything changed."""
        if time.monotonic() >= self._search_due:
            self._search_due = time.monotonic() + SEARCH_SECONDS
            for source in [source for path in self._paths for source in find_logs(path)]:
                self._logs.setdefault(source, open_log(source))
        changed = [log.poll(SLICE_SECONDS) for log in self._logs.values()]  # each is polled
        return any(changed)

    @property
    def series(self) -> dict[str, Series]:
        """The metrics by name; of several logs, with the name of the log's file or folder before them."""
        several = len(self._logs) > 1
        return {
            f"{source.path.name}/{name}" if several else name: series
            for source, log in self._logs.items()
            for name, series in log.series.items()
        }
