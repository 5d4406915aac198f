"""A question to answer with yes or no before something is done."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from workbench.core.text import sanitize
from workbench.ui.base.dialog import Dialog
from workbench.ui.base.status_style import MUTED


class Confirm(Dialog[bool]):
    """Asks `question`; `consequence` describes what will happen. The result is whether the answer was yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
    ]

    def __init__(self, question: str, consequence: str) -> None:
        super().__init__()
        self._question, self._consequence = sanitize(question), sanitize(consequence)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(
                Content.assemble(
                    (self._question, "bold"),
                    "\n",
                    (self._consequence, MUTED),
                    "\n\n",
                    ("y", "bold $accent"),
                    " yes   ",
                    ("n", "bold $accent"),
                    " no",
                )
            )

    def action_answer(self, answer: bool) -> None:
        """Close the question with this answer."""
        self.dismiss(answer)
