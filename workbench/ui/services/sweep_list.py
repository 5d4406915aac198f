"""The list of sweeps as the thread of the run monitor reads it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from workbench.core.errors import UserError
from workbench.runs.store import Store
from workbench.sweeps.records import SweepStatus
from workbench.sweeps.sweep_folder import SweepFolder, SweepStore, SweepView, read_sweep

POLL_SECONDS = 1.0


class SweepList:
    """Reads sweeps that may have changed."""

    def __init__(self, store: Store) -> None:
        self._store = SweepStore(store.home)
        self._views: dict[Path, SweepView] = {}
        self._delivered: list[SweepView] | None = None
        self._due = 0.0

    def expire(self) -> None:
        """Read all at the next poll: an action just changed something."""
        self._due = 0.0

    def poll(self) -> list[SweepView] | None:
        """The sweeps, newest first; `None` where nothing has changed since the last call."""
        if time.monotonic() < self._due:
            return None
        self._due = time.monotonic() + POLL_SECONDS
        views = []
        for folder, definition in self._store.list_sweeps():
            known = self._views.get(folder.path)
            ended = known is not None and known.status is SweepStatus.FINISHED
            if known is None or not ended or known.definition != definition:
                known = _read(folder)
            if known is not None:
                views.append(known)
        self._views = {view.folder.path: view for view in views}
        if views == (self._delivered or []):
            return None
        self._delivered = views
        return views


def _read(folder: SweepFolder) -> SweepView | None:
    with contextlib.suppress(UserError):  # it was removed a moment ago
        return read_sweep(folder)
    return None
