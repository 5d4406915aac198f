"""Edit the name, tags and notes of a run."""

from __future__ import annotations

import msgspec

from workbench.launcher.notes import change_notes, read_notes
from workbench.runs.records import Notes
from workbench.runs.store import RunSummary
from workbench.ui.actions.host import ActionHost
from workbench.ui.actions.targets import RunSelection
from workbench.ui.runs.notes_screen import NotesScreen


def edit_notes(host: ActionHost, selection: RunSelection) -> None:
    """Let the user edit the notes of the selected run, and save them."""
    row = selection.selected
    if row is None:
        return
    notes = read_notes(host.store.folder(row.id))
    screen = NotesScreen(msgspec.structs.replace(notes, name=row.name))
    host.show_screen(screen, lambda edited: _save(host, row, edited))


def _save(host: ActionHost, row: RunSummary, notes: Notes | None) -> None:
    if notes is None:
        return

    def save() -> str:
        change_notes(host.store.folder(row.id), lambda _: notes)
        return f"saved the notes of {notes.name}"

    host.run_in_background(save)
