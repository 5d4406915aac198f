"""New journal lines of all live runs, including those that are not selected."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.runs.journal import JournalLine
from workbench.runs.reader import JsonlReader
from workbench.runs.store import Store
from workbench.ui.base.snapshot import JournalLines

MAX_RUNS = 50
"""Runs that are watched at once, the newest first."""


class JournalWatch:
    """Watches runs from when they are first seen live until they have ended: one `stat` of each per poll."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._readers: dict[str, JsonlReader[JournalLine]] = {}

    def poll(self, live_ids: Sequence[str], followed: str | None) -> JournalLines:
        """New lines since the last poll, except those of the run `followed`, which the caller reads itself.

        `live_ids` are the live runs, the newest first.
        """
        live = live_ids[:MAX_RUNS]
        lines = [(run_id, self._new(reader)) for run_id, reader in self._readers.items()]
        for run_id in set(self._readers) - set(live):
            self._readers.pop(run_id).close()
        for run_id in live:
            if run_id not in self._readers:
                journal = self._store.folder(run_id).journal
                reader: JsonlReader[JournalLine] = JsonlReader(journal, JournalLine)
                self._readers[run_id] = reader
                while reader.read()[0]:
                    pass  # lines from before are not new
        return [(run_id, new) for run_id, new in lines if new and run_id != followed]

    def _new(self, reader: JsonlReader[JournalLine]) -> list[JournalLine]:
        if reader.offset and not reader.unread_bytes:
            return []
        records, fresh = reader.read()
        return [] if fresh else records

    def close(self) -> None:
        """Close every file."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
