"""The widgets that show a short summary of the experiment, and the estimated cost of a run."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class ExperimentSummary(Widget, can_focus=True):
    """The experiment in a few lines; `enter` or a click opens the form."""

    DEFAULT_CSS = "ExperimentSummary { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,ctrl+j", "open", "edit", show=False)]

    class Opened(Message):
        """The summary was clicked, or enter was pressed."""

    lines: reactive[tuple[Text, ...]] = reactive(())

    def render(self) -> Text:
        """The lines, cut to the width."""
        return Text("\n", no_wrap=True, overflow="ellipsis").join(self.lines)

    def action_open(self) -> None:
        """Edit the experiment."""
        self.post_message(self.Opened())

    def on_click(self) -> None:
        self.action_open()


class CostLine(Widget):
    """The estimated cost of a run, or the error that prevents it."""

    lines: reactive[tuple[Text, ...]] = reactive((), layout=True)

    def render(self) -> Text:
        """The lines, wrapped."""
        return Text("\n").join(self.lines)
