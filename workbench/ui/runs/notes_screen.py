"""A dialog to edit the name, tags and notes of a run."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from workbench.config.experiment import check_run_name
from workbench.core.errors import UserError
from workbench.core.text import sanitize
from workbench.runs.records import Notes
from workbench.ui.base.dialog import Dialog
from workbench.ui.widgets.text_input import TextInput

FIELDS = (
    ("name", "name", "display name of the run"),
    ("tags", "tags", "comma-separated; the filter (/) searches them"),
    ("notes", "notes", "free text"),
)


class NotesScreen(Dialog[Notes | None]):
    """Three input lines; returns the edited notes, or `None` if the dialog was cancelled."""

    DEFAULT_CSS = """
    NotesScreen { align: center middle; background: transparent; }
    NotesScreen > Vertical { width: 76; max-width: 100%; padding: 1 2; }
    NotesScreen Input { height: 1; border: none; padding: 0; background: $boost; margin-bottom: 1; }
    NotesScreen Static { height: auto; color: $text-muted; }
    NotesScreen #error { color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "cancel", priority=True),
        Binding("down", "app.focus_next", "next", show=False),
        Binding("up", "app.focus_previous", "previous", show=False),
    ]

    def __init__(self, notes: Notes) -> None:
        """`notes`: the current ones, with the run's name filled in."""
        super().__init__()
        self._values = {"name": notes.name, "tags": ", ".join(notes.tags), "notes": notes.notes}

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = sanitize(f"notes on {self._values['name']}", 60).replace("[", "\\[")
            box.border_subtitle = "enter save · tab next · esc cancel"
            for key, label, about in FIELDS:
                yield Static(f"{label}: {about}", markup=False)
                yield TextInput(self._values[key], compact=True, select_on_focus=False, id=key)
            yield Static("", id="error", markup=False)

    def on_mount(self) -> None:
        for line in self.query(Input):
            line.cursor_position = len(line.value)
        self.query(Input).first().focus()

    @on(Input.Submitted)
    def _save(self, event: Input.Submitted) -> None:
        event.stop()
        typed = {key: self.query_one(f"#{key}", Input).value.strip() for key, *_ in FIELDS}
        try:
            check_run_name(typed["name"])
        except UserError as error:
            self.query_one("#error", Static).update(sanitize(error))
            return
        tags = tuple(tag.strip() for tag in typed["tags"].split(",") if tag.strip())
        self.dismiss(Notes(name=typed["name"], tags=tags, notes=typed["notes"]))

    def action_cancel(self) -> None:
        """Close the dialog without saving."""
        self.dismiss(None)
