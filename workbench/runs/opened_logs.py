"""Logs that are shown without being added to the list of runs: each is a run of a temporary folder."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from workbench.core.errors import UserError
from workbench.logs.logged_runs import LoggedRun, find_logged_runs
from workbench.runs.external_log import ExternalLog, create_external_run, external_log
from workbench.runs.run_folder import RunFolder

SEARCH_SECONDS = 5.0
"""The interval between two searches for new runs."""


class OpenedLogs:
    """The runs in some files and folders of logs, those included that appear later."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Find the runs. Raises `UserError` where there is none, and `OSError`."""
        self._paths = [path.absolute() for path in paths]
        runs = [run for path in self._paths for run in find_logged_runs(path)]
        self.root = Path(tempfile.mkdtemp(prefix="workbench-logs-"))
        self.folders: list[RunFolder] = []
        """The folders of the runs, in the order of their names in each path."""
        self._known: set[tuple[str, ...]] = set()
        self._search_due = time.monotonic() + SEARCH_SECONDS
        self._add(runs)

    def update(self) -> None:
        """Find new runs, every few seconds."""
        if time.monotonic() < self._search_due:
            return
        self._search_due = time.monotonic() + SEARCH_SECONDS
        for path in self._paths:
            try:
                runs = find_logged_runs(path)
            except UserError:
                continue  # it is gone for a moment, or for good: its runs say so
            self._add(runs)

    def close(self) -> None:
        """Remove the temporary folder; the logs stay where they are."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _add(self, runs: Iterable[LoggedRun]) -> None:
        new: dict[tuple[str, ...], tuple[LoggedRun, ExternalLog]] = {}
        for run in runs:
            log = external_log(run, opened=True)
            if (key := tuple(map(str, log.paths))) not in self._known:
                new[key] = run, log
        folders: dict[str, RunFolder] = {}
        for run, log in by_last_change(new.values()):
            folders[run.name] = create_external_run(self.root, log)
        self.folders += [folders[run.name] for run, _ in new.values()]
        self._known |= new.keys()


def by_last_change(runs: Iterable[tuple[LoggedRun, ExternalLog]]) -> list[tuple[LoggedRun, ExternalLog]]:
    """The runs, those that were written last at the end: runs are listed by their creation, newest first."""
    return sorted(runs, key=lambda pair: pair[0].modified)
