"""The services of the running app for the actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer

from workbench.core.errors import UserError
from workbench.runs.store import Store
from workbench.ui.base.messages import Notify, Severity
from workbench.ui.base.terminal_app import TerminalApp
from workbench.ui.services.clipboard import copy_text
from workbench.ui.widgets.confirm_screen import Confirm
from workbench.ui.widgets.notice_bar import NotificationBar

R = TypeVar("R")


class AppHost:
    """Implements `ActionHost` by a Textual app; `refresh_runs` is the app's way to poll and select."""

    def __init__(self, app: TerminalApp, store: Store, refresh_runs: Callable[[str | None], None]) -> None:
        self._app, self._refresh_runs = app, refresh_runs
        self.store = store

    def show_notice(self, text: str, severity: Severity = "information", *, transient: bool = False) -> None:
        """Show a notification in the notice bar. Callable from any thread."""
        self._app.post_message(Notify(text, severity, transient))

    def show_countdown(self, content: Content | None) -> None:
        """Show `content` in the notice bar until `None` is passed."""
        for bar in self._app.query(NotificationBar):  # none is left while the app exits
            bar.set_pending(content)

    def ring_bell(self) -> None:
        """Ring the bell of the terminal."""
        self._app.bell()

    def copy_to_clipboard(self, text: str) -> str:
        """Copy `text` to the clipboard of the terminal; returns what happened. Called in a thread."""
        self._app.copied_text = text
        return copy_text(text, self._write_to_terminal)

    def _write_to_terminal(self, sequence: str) -> None:
        if self._app.write_terminal is not None:
            self._app.call_from_thread(self._app.write_terminal, sequence)

    def run_in_background(self, work: Callable[[], str | None]) -> None:
        """Run `work` in a thread, then poll the runs; its text or error becomes a notification."""

        def run() -> None:
            try:
                text = work()
            except (UserError, OSError) as error:
                self.show_notice(str(error), "error")
            else:
                if text:
                    self.show_notice(text)
            self.run_soon(self.refresh_runs)

        self._app.run_worker(run, thread=True, exit_on_error=False)

    def confirm(self, question: str, details: str, action: Callable[[], None]) -> None:
        """Ask the user, and call `action` if the answer is yes."""
        self.show_screen(Confirm(question, details), lambda confirmed: action() if confirmed else None)

    def show_screen(self, screen: Screen[R], on_result: Callable[[R | None], None] | None = None) -> None:
        """Open a screen above the panes; `on_result` gets what it is dismissed with."""
        self._app.push_screen(screen, on_result)

    def run_soon(self, function: Callable[[], object]) -> None:
        """Call `function` in the app's thread. Callable from any thread."""
        self._app.call_later(function)

    def start_timer(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` every `seconds` until the timer is stopped."""
        return self._app.set_interval(seconds, callback)

    def refresh_runs(self, run_id: str | None = None) -> None:
        """Poll the runs at once, and select `run_id` if it is given."""
        self._refresh_runs(run_id)
