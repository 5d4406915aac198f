"""What the actions need of the app: an interface that tests can implement without a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from textual.content import Content
from textual.screen import Screen

from workbench.runs.store import Store
from workbench.ui.base.messages import Severity

R = TypeVar("R")


class Stoppable(Protocol):
    """A running timer."""

    def stop(self) -> None:
        """Stop it; it does not fire any more."""


class ActionHost(Protocol):
    """The app, as the actions see it."""

    @property
    def store(self) -> Store:
        """The store of the runs."""

    def show_notice(self, text: str, severity: Severity = "information", *, transient: bool = False) -> None:
        """Show a notification in the notice bar. Callable from any thread."""

    def show_countdown(self, content: Content | None) -> None:
        """Show `content` in the notice bar until `None` is passed."""

    def ring_bell(self) -> None:
        """Ring the bell of the terminal."""

    def copy_to_clipboard(self, text: str) -> str:
        """Copy `text` to the clipboard of the terminal; returns what happened. Called in a thread."""

    def run_in_background(self, work: Callable[[], str | None]) -> None:
        """Run `work` in a thread, then poll the runs.

        The text that it returns, or the `UserError` or `OSError` that it raises, becomes a notification.
        """

    def confirm(self, question: str, details: str, action: Callable[[], None]) -> None:
        """Ask the user, and call `action` if the answer is yes."""

    def show_screen(self, screen: Screen[R], on_result: Callable[[R | None], None] | None = None) -> None:
        """Open a screen above the panes; `on_result` gets what it is dismissed with."""

    def run_soon(self, function: Callable[[], object]) -> None:
        """Call `function` in the app's thread. Callable from any thread."""

    def start_timer(self, seconds: float, callback: Callable[[], None]) -> Stoppable:
        """Call `callback` every `seconds` until the timer is stopped."""

    def refresh_runs(self, run_id: str | None = None) -> None:
        """Poll the runs at once, and select `run_id` if it is given (a run that was just started)."""
