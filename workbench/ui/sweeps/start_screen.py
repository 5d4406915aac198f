"""The dialog that starts a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from workbench.config.experiment import check_run_name
from workbench.core.errors import UserError
from workbench.core.text import plural, sanitize
from workbench.sweeps.records import SweepDefinition
from workbench.sweeps.sweep_folder import goal
from workbench.ui.base.dialog import Dialog
from workbench.ui.experiment.choosers import value_finder
from workbench.ui.sweeps.sweep_draft import NAME, SweepDraft
from workbench.ui.widgets.chooser import Chooser
from workbench.ui.widgets.form import Field, Form, shows_help


@dataclass(frozen=True)
class NewSweep:
    """What the dialog returns."""

    definition: SweepDefinition
    name: str
    """Empty where the user gives it none."""


class StartScreen(Dialog[NewSweep | None]):
    """A form of the options of a sweep and of all settings of its experiment; `None` if it was cancelled."""

    DEFAULT_CSS = """
    StartScreen { align: center middle; }
    StartScreen > Vertical {
        width: 100%; max-width: 110; height: 100%; max-height: 44; padding: 0 1;
        border: round $accent; background: $surface;
    }
    StartScreen Static { height: auto; max-height: 3; color: $text-muted; }
    StartScreen #help { text-style: italic; }
    StartScreen #problem.-error { color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "start", "start"),
        Binding("escape", "cancel", "cancel"),
    ]

    def __init__(self, draft: SweepDraft) -> None:
        super().__init__()
        self.draft = draft

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "search settings"
            box.border_subtitle = "enter edit · del default · t start · esc cancel"
            yield Form(self._error)
            yield Static("", id="help", markup=False)
            yield Static("", id="problem", markup=False)

    def on_mount(self) -> None:
        self._show()
        self.query_one(Form).focus()

    def _error(self, key: str, text: str) -> str | None:
        return self.draft.error(key, text)

    def _show(self) -> None:
        self.query_one(Form).show(self.draft.fields())
        try:
            definition = self.draft.define()
        except UserError as error:
            self._show_state(str(error).removeprefix("--"))
            return
        self._show_state(
            f"{plural(definition.trials, 'trial')} by {plural(definition.workers, 'worker')} over "
            f"{plural(len(definition.params), 'setting')}; {goal(definition)}"
        )

    def _show_state(self, text: str, *, is_error: bool = False) -> None:
        line = self.query_one("#problem", Static)
        line.set_class(is_error, "-error")
        line.update(sanitize(text))

    @on(Form.Highlighted)
    def _highlighted(self, event: Form.Highlighted) -> None:
        event.stop()
        cut = not shows_help(event.field, self.query_one(Form).size.width)
        self.query_one("#help", Static).update(sanitize(event.field.help) if cut else "")

    @on(Form.Changed)
    def _changed(self, event: Form.Changed) -> None:
        event.stop()
        self.draft = self.draft.changed(event.key, event.value)
        self._show()

    @on(Form.Reset)
    def _reset(self, event: Form.Reset) -> None:
        event.stop()
        self.draft = self.draft.reset(event.key)
        self._show()

    @on(Form.Opened)
    def _opened(self, event: Form.Opened) -> None:
        event.stop()
        chosen: Field = event.field

        def choose(value: str | None) -> None:
            if value is not None:
                self.draft = self.draft.changed(chosen.key, value)
                self._show()

        finder = value_finder(chosen.choices, chosen.value)
        self.app.push_screen(Chooser(f"{chosen.label}: {chosen.help}", finder), choose)

    def action_start(self) -> None:
        """Start the sweep, unless something is missing or wrong."""
        name = self.draft.option(NAME)
        try:
            if name:
                check_run_name(name)
            new = NewSweep(self.draft.define(), name)
        except UserError as error:
            self._show_state(str(error).removeprefix("--"), is_error=True)
            return
        self.dismiss(new)

    def action_cancel(self) -> None:
        """Close the dialog; nothing is started."""
        self.dismiss(None)
