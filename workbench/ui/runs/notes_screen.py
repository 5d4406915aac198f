"""What a person wrote about a run: another name, tags, notes."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from workbench.config.experiment import check_name
from workbench.core.errors import BadInput
from workbench.core.text import safe
from workbench.runs.records import Notes

ROWS = (
    ("name", "name", "what the run is called"),
    ("tags", "tags", "words with commas between them; / finds them"),
    ("notes", "notes", "whatever is worth remembering"),
)


class NotesScreen(ModalScreen[Notes | None]):
    """Three lines to type in; returns them, `None` where it was left."""

    DEFAULT_CSS = """
    NotesScreen { align: center middle; background: transparent; }
    NotesScreen > Vertical { width: 76; max-width: 100%; padding: 1 2; }
    NotesScreen Input { height: 1; border: none; padding: 0; background: $boost; margin-bottom: 1; }
    NotesScreen Static { height: auto; color: $text-muted; }
    NotesScreen #said { color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "back", priority=True),
        Binding("down", "app.focus_next", "next", show=False),
        Binding("up", "app.focus_previous", "before", show=False),
    ]

    def __init__(self, notes: Notes) -> None:
        """`notes` as they are now, with the name that the run has."""
        super().__init__()
        self._values = {"name": notes.name, "tags": ", ".join(notes.tags), "notes": notes.notes}

    def compose(self) -> ComposeResult:
        """A line for each."""
        with Vertical(classes="dialog") as box:
            box.border_title = safe(f"notes on {self._values['name']}", 60).replace("[", "\\[")
            box.border_subtitle = "enter keep · tab next · esc leave"
            for key, label, about in ROWS:
                yield Static(f"{label}: {about}", markup=False)
                yield Input(safe(self._values[key]), compact=True, select_on_focus=False, id=key)
            yield Static("", id="said", markup=False)

    def on_mount(self) -> None:
        """Begin in the first line; in each, behind what stands there."""
        for line in self.query(Input):
            line.cursor_position = len(line.value)
        self.query(Input).first().focus()

    @on(Input.Submitted)
    def _keep(self, event: Input.Submitted) -> None:
        event.stop()
        typed = {key: self.query_one(f"#{key}", Input).value.strip() for key, *_ in ROWS}
        try:
            check_name(typed["name"])
        except BadInput as error:
            self.query_one("#said", Static).update(safe(error))
            return
        tags = tuple(tag.strip() for tag in typed["tags"].split(",") if tag.strip())
        self.dismiss(Notes(name=typed["name"], tags=tags, notes=typed["notes"]))

    def action_leave(self) -> None:
        """Keep things as they were."""
        self.dismiss(None)
