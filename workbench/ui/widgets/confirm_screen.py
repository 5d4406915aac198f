"""A question that is answered with yes or no before something is done."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from workbench.core.text import safe
from workbench.ui.base.status_style import MUTED


class Confirm(ModalScreen[bool]):
    """Asks `question`; `about` says what will happen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
    ]

    def __init__(self, question: str, about: str) -> None:
        super().__init__()
        self._question, self._about = safe(question), safe(about)

    def compose(self) -> ComposeResult:
        """A box in the middle."""
        with Vertical(classes="dialog"):
            yield Static(
                Content.assemble(
                    (self._question, "bold"),
                    "\n",
                    (self._about, MUTED),
                    "\n\n",
                    ("y", "bold $accent"),
                    " yes   ",
                    ("n", "bold $accent"),
                    " no",
                )
            )

    def action_answer(self, answer: bool) -> None:
        """Go back with the answer."""
        self.dismiss(answer)
