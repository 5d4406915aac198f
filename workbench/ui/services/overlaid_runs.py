"""The runs that are shown beside the selected one, read in the thread of the run monitor."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.runs.reader import RunReader, RunView
from workbench.runs.store import Store


class OverlaidRuns:
    """Follows some runs; `select` is called in any thread, the rest in one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._selected: Sequence[str] = ()
        self._readers: dict[str, RunReader] = {}
        self._versions: dict[str, int] = {}

    def select(self, run_ids: Sequence[str]) -> None:
        """Follow these runs from now on."""
        self._selected = tuple(run_ids)

    def poll(self) -> list[RunView] | None:
        """The views of all runs, which later polls change; `None` if nothing has changed."""
        selected = self._selected
        for run_id in self._readers.keys() - set(selected):
            self._readers.pop(run_id).close()
        for run_id in selected:
            if run_id not in self._readers:
                self._readers[run_id] = RunReader(self._store.folder(run_id))
        views = [self._readers[run_id].poll() for run_id in selected]
        versions = {view.folder.id: view.version for view in views}
        if versions == self._versions:
            return None
        self._versions = versions
        return views

    @property
    def has_unread(self) -> bool:
        """Whether another poll would read more."""
        return any(reader.has_unread for reader in self._readers.values())

    def close(self) -> None:
        """Close all files."""
        for reader in self._readers.values():
            reader.close()
