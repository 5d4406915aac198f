"""What a person keeps of runs and takes back: notes, other forms, copies, comparisons, undo."""

from __future__ import annotations

import subprocess
from collections import deque
from pathlib import Path

import msgspec
from textual import on, work

from workbench.core.errors import BadInput
from workbench.core.text import safe
from workbench.export import free_name
from workbench.io.record_codec import read_record, write_record
from workbench.launcher import launch
from workbench.runs.metrics import EvaluationFile
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import RunSummary
from workbench.system.processes import python
from workbench.ui.actions.runs import RunActions
from workbench.ui.base.messages import SecondRunWanted, Undoable
from workbench.ui.experiment.choosers import of_forms
from workbench.ui.runs.compare_screen import CompareScreen, newest_of, read_all
from workbench.ui.runs.notes_screen import NotesScreen
from workbench.ui.widgets.chooser import Chooser

UNDOABLE = 20


class Keeping(RunActions):
    """Notes, export, copying, comparing, undo."""

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._undoable: deque[Undoable] = deque(maxlen=UNDOABLE)

    def copied(self) -> str:
        """What `y` copies."""
        raise NotImplementedError

    def action_copy(self) -> None:
        """Copy what the cursor of the pane in front stands on, else the path of the selected run's folder."""
        text = safe(self.copied() or (self.folder_of(self.selected).path if self.selected else ""))
        if text:
            self.copy_to_clipboard(text)
            self.notice(f"copied {text}")
        else:
            self.notice("there is nothing to copy here", passing=True)

    # Undo

    @on(Undoable)
    def _can_be_undone(self, event: Undoable) -> None:
        self._undoable.append(event)

    def action_undo(self) -> None:
        """Take back what was done last: a change that waits, one of the form, a run put away, a steering."""
        if self.take_back():
            return
        if not self._undoable:
            self.notice("there is nothing to take back", passing=True)
            return
        last = self._undoable.pop()
        self.notice(f"taken back: {last.words}")
        last.undo()

    # Notes

    def action_notes(self) -> None:
        """Edit the name, the tags and the notes of the selected run."""
        row = self.selected
        if row is not None:
            known = read_record(self.folder_of(row).notes, Notes) or Notes()
            shown = msgspec.structs.replace(known, name=row.name)
            self.push_screen(NotesScreen(shown), lambda notes: self._keep_notes(row, notes))

    def _keep_notes(self, row: RunSummary, notes: Notes | None) -> None:
        if notes is None:
            return

        def keep() -> str:
            folder = self.folder_of(row)
            launch.check_owner(folder)
            write_record(folder.notes, notes)
            return f"noted for {notes.name}"

        self.in_background(keep)

    # Export

    def action_export(self) -> None:
        """Write the selected run in another form; a process of its own does it."""
        row = self.selected
        if row is not None:
            self.push_screen(
                Chooser(f"Export {row.name}", of_forms()),
                lambda form: self._export(row, form) if form else None,
            )

    def _export(self, row: RunSummary, form: str) -> None:
        self.notice(f"writing {row.name} as {form}…")
        self.in_background(lambda: exported(self.folder_of(row), row.name, form))

    # Compare

    @work(group="compare", exclusive=True, thread=True)
    def action_compare(self) -> None:
        """Hold the marked runs against each other, or the selected one against the best."""
        rows = self.compared()
        if len(rows) < 2:
            self.notice("there is nothing to compare with: space marks runs", "warning", passing=True)
            return
        try:
            views = read_all([self.folder_of(row) for row in rows])
        except (BadInput, OSError) as error:
            self.notice(str(error), "error")
        else:
            self.call_from_thread(self.push_screen, CompareScreen(views))

    @on(SecondRunWanted)
    def _second_run_wanted(self) -> None:
        self._find_second()

    @work(group="second", exclusive=True, thread=True)
    def _find_second(self) -> None:
        """Read the newest evaluation of the run that the selected one would be compared with."""
        row = next((row for row in self.compared() if row != self.selected), None)
        found = None if row is None else newest_of(self.folder_of(row))
        if row is None or found is None:
            self.notice("there is no second run with an evaluation: space marks one", "warning")
        else:
            self.call_from_thread(self.take_second, row.name, found)

    def take_second(self, name: str, evaluation: EvaluationFile) -> None:
        """Hold the classes against this evaluation of the run called so."""
        raise NotImplementedError

    def compared(self) -> list[RunSummary]:
        """The marked runs (with the selected one, where only one other is marked), else it and the best."""
        raise NotImplementedError


def exported(folder: RunFolder, name: str, form: str) -> str:
    """Export the run in a process of its own to a new name in this folder; where the file is.

    Raises `BadInput` with the process's error message.
    """
    place = free_name(folder.id, name, form)
    command = python("workbench.export", str(folder.path), form, place)
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True, text=True,
        errors="replace", check=False,
    )  # fmt: skip
    said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode != 0:
        raise BadInput(said[-1].removeprefix("workbench: ") if said else f"exit code {done.returncode}")
    return f"written: {Path.cwd() / said[-1]}"
