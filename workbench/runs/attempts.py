"""The attempts at a run: how many there were, whatever is left of its record, and where each of them began."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from workbench.core.distribution import version_of
from workbench.io.record_codec import read_record
from workbench.runs.journal import Attempt, JournalLine, Notice, attempts_of, read_journal
from workbench.runs.records import Exit, Heartbeat
from workbench.runs.run_folder import RunFolder

WATCHED = ("workbench", "torch", "torchvision", "numpy")
"""Packages whose versions an `attempt` line has, beside Python's."""


def installed_versions() -> dict[str, str | None]:
    """The versions of `WATCHED` and of Python; `None` where a package is not installed."""
    return {name: version_of(name) for name in WATCHED} | {"python": sys.version.split()[0]}


def last_attempt(folder: RunFolder) -> int:
    """The newest attempt that any part of the record knows of: journals get lost. 0 before the first."""
    beat, ended = read_record(folder.heartbeat, Heartbeat), read_record(folder.exit, Exit)
    known = [*attempts_of(read_journal(folder.journal)), *(record for record in (beat, ended) if record)]
    return max((record.attempt for record in known), default=0)


def start_steps(journal: Iterable[JournalLine]) -> dict[int, int]:
    """The step at which each attempt began, by its number.

    A supervisor expects the newest checkpoint; a worker that could not read that says so in a notice.
    """
    return {
        record.attempt: record.from_step
        for record in journal
        if isinstance(record, Attempt | Notice) and record.from_step is not None
    }
