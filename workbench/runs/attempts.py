"""The attempts at a run: how many there were, whatever is left of its record, and where each of them began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workbench.io.atomic import read_json
from workbench.runs.layout import RunFolder
from workbench.runs.records import attempts_of, read_lines


def number_of(record: Mapping[str, Any]) -> int:
    """The attempt that a record is about; 0 where it says nothing sound."""
    value = record.get("attempt")
    return value if isinstance(value, int) else 0


def last_attempt(folder: RunFolder) -> int:
    """The newest attempt that any part of the record knows of: journals get lost. 0 before the first."""
    known = [*attempts_of(read_lines(folder.journal)), *map(read_json, (folder.heartbeat, folder.exit))]
    return max((number_of(record) for record in known if record), default=0)


def began(journal: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    """The step at which each attempt began, by its number.

    A supervisor expects the newest checkpoint; a worker that could not read that says so in a notice.
    """
    said = (record for record in journal if record.get("kind") in {"attempt", "notice"})
    return {number_of(record): step for record in said if isinstance(step := record.get("from_step"), int)}
