"""Changes of a run's name, tags and notes."""

from __future__ import annotations

from collections.abc import Callable

from workbench.io.record_codec import read_record, write_record
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder, check_owner


def read_notes(folder: RunFolder) -> Notes:
    """The user's name, tags and notes of a run."""
    return read_record(folder.notes, Notes) or Notes()


def change_notes(folder: RunFolder, change: Callable[[Notes], Notes]) -> Notes:
    """Replace the notes of a run by `change` of them. Raises `UserError` for another user's run, and `OSError`."""
    check_owner(folder)
    notes = change(read_notes(folder))
    write_record(folder.notes, notes)
    return notes
