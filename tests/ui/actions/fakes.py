"""Stand-ins for what the actions get from the app: their tests need no running app."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from textual.content import Content
from textual.screen import Screen

from workbench.core.errors import UserError
from workbench.runs.store import RunSummary, Store
from workbench.ui.base.messages import Severity


class FakeTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback, self.running = callback, True

    def stop(self) -> None:
        self.running = False


class FakeHost:
    """An `ActionHost` that works at once, in the calling thread, and records what is shown."""

    def __init__(self) -> None:
        self.store = Store.default()
        self.notices: list[tuple[str, Severity]] = []
        self.questions: list[str] = []
        self.screens: list[tuple[Screen[Any], Callable[[Any], None] | None]] = []
        self.refreshed: list[str | None] = []
        self.copied: list[str] = []
        self.countdown: Content | None = None
        self.timers: list[FakeTimer] = []
        self.answer = True
        """The answer to every question."""

    def show_notice(self, text: str, severity: Severity = "information", *, transient: bool = False) -> None:
        self.notices.append((text, severity))

    def show_countdown(self, content: Content | None) -> None:
        self.countdown = content

    def ring_bell(self) -> None:
        pass

    def copy_to_clipboard(self, text: str) -> str:
        self.copied.append(text)
        return f"copied {text}"

    def run_in_background(self, work: Callable[[], str | None]) -> None:
        try:
            text = work()
        except (UserError, OSError) as error:
            self.show_notice(str(error), "error")
        else:
            if text:
                self.show_notice(text)

    def confirm(self, question: str, details: str, action: Callable[[], None]) -> None:
        self.questions.append(question)
        if self.answer:
            action()

    def show_screen(self, screen: Screen[Any], on_result: Callable[[Any], None] | None = None) -> None:
        self.screens.append((screen, on_result))

    def run_soon(self, function: Callable[[], object]) -> None:
        function()

    def start_timer(self, seconds: float, callback: Callable[[], None]) -> FakeTimer:
        self.timers.append(FakeTimer(callback))
        return self.timers[-1]

    def refresh_runs(self, run_id: str | None = None) -> None:
        self.refreshed.append(run_id)

    def tick(self) -> None:
        """Let every running timer fire once."""
        for timer in [timer for timer in self.timers if timer.running]:
            timer.callback()

    @property
    def texts(self) -> list[str]:
        return [text for text, _ in self.notices]


@dataclass
class FakeSelection:
    """A `RunSelection` with the runs of a store."""

    rows: list[RunSummary] = field(default_factory=list)
    selected: RunSummary | None = None
    marked: list[RunSummary] = field(default_factory=list)
