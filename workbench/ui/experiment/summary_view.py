"""The experiment in a few lines of text, and the line of what it costs."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class Summary(Widget, can_focus=True):
    """The experiment in a few lines; `enter` or a click opens it."""

    DEFAULT_CSS = "Summary { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,ctrl+j", "open", "edit", show=False)]

    class Opened(Message):
        """A person wants to change it."""

    lines: reactive[tuple[Text, ...]] = reactive(())

    def render(self) -> Text:
        """The lines, cut to the width."""
        return Text("\n", no_wrap=True, overflow="ellipsis").join(self.lines)

    def action_open(self) -> None:
        """Say so."""
        self.post_message(self.Opened())

    def on_click(self) -> None:
        """A click does the same."""
        self.action_open()


class CostLine(Widget):
    """What a run will take, or what stands in its way."""

    lines: reactive[tuple[Text, ...]] = reactive((), layout=True)

    def render(self) -> Text:
        """The lines, wrapped."""
        return Text("\n").join(self.lines)
