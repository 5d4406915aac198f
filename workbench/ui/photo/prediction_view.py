"""What is on a picture: the likeliest classes with bars, and what stands beside them."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from workbench.core.text import cut, fraction, pad, percent, safe, values
from workbench.inference.published_comparison import PublishedComparison
from workbench.inference.results import Prediction
from workbench.ui.base.bars import BarStyle, bar
from workbench.ui.base.theme import THEME


class Answer(Widget, can_focus=True):
    """What is on the picture, and how the pane stands."""

    DEFAULT_CSS = "Answer { height: 1fr; width: 1fr; padding-left: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,ctrl+j", "open", "open", show=False)]

    class Opened(Message):
        """A person wants to name a picture."""

    caption: reactive[str] = reactive("")
    busy: reactive[str] = reactive("")
    error: reactive[str] = reactive("")
    by: reactive[str] = reactive("")
    """What would answer now."""
    said_by: reactive[str] = reactive("")
    """What gave the answer on show; nothing where that is not known."""
    asks: reactive[str] = reactive("a picture's path or URL")
    """What `enter` asks for; where it is nothing, no keys are named."""
    top: reactive[tuple[Prediction, ...]] = reactive(())
    values: reactive[tuple[float, ...]] = reactive(())
    """What a regression says."""
    note: reactive[str] = reactive("")
    published: reactive[str] = reactive("")
    """A recipe's published figure beside ours."""

    def render(self) -> Text:
        """Caption, the likeliest classes with bars, by what; what goes on or went wrong."""
        width = self.content_size.width
        lines = [Text(cut(safe(self.caption), width), "bold")] if self.caption else _hints(self.asks)
        for at, one in enumerate(self.top[: max(1, self.content_size.height - 3)]):
            lines.append(prediction(one, width, first=at == 0))
        if self.values:
            lines.append(Text("says ").append(values(self.values), "bold"))
        if self.published and self.top:
            lines.append(Text(safe(self.published)))
        lines += self._authors()
        if self.busy:
            lines.append(Text("… " + safe(self.busy), THEME.accent or "yellow"))
        elif self.error:
            lines.append(Text(f"✗ {safe(self.error)}", THEME.error or "red"))
        elif self.note:
            lines.append(Text(safe(self.note), "dim"))
        return Text("\n").join(lines)

    def _authors(self) -> list[Text]:
        """Who said what is on show; and who would answer now, where that is another."""
        if not self.said_by or not (self.top or self.values or self.error):
            return [Text(safe(self.by), "dim")]
        lines = [Text(safe(self.said_by), "dim")]
        if self.by and self.by != self.said_by:
            lines.append(Text(f"the next answer {safe(self.by)}", "dim"))
        return lines

    def action_open(self) -> None:
        """Say that it was opened."""
        self.post_message(self.Opened())

    def on_click(self) -> None:
        """A click does the same."""
        self.action_open()


def prediction(one: Prediction, width: int, first: bool = False) -> Text:
    """A class with its bar and probability, in `width` cells."""
    value = one.probability
    number = f"{one.index:>4} " if width >= 44 else ""
    cells = max(4, min(20, width // 4))
    room = max(4, min(28, width - len(number) - cells - 7))
    line = Text(no_wrap=True, end="").append(number, "dim")
    line.append(pad(safe(one.label), room) + " ", "bold" if first else "")
    line.append("".join(bar(value, cells, BarStyle.FIGURE)), "bold" if first else "dim")
    return line.append(f" {fraction(value):>5}", "bold" if first else "")


HINTS = (
    ("f", "test samples"),
    ("m", "what classifies"),
    ("v", "each step between"),
)


def _hints(asks: str) -> list[Text]:
    if not asks:
        return []
    return [Text.assemble((key, "bold"), (f" {what}", "dim")) for key, what in (("enter", asks), *HINTS)]


def comparison_text(comparison: PublishedComparison | None) -> str:
    """The published figure beside ours, in a line; empty where there is none."""
    if comparison is None:
        return ""
    published = f"published {comparison.top[0].label} {percent(comparison.published)}"
    if comparison.ours is None:
        return f"{published} for another photo ({comparison.source})"
    verdict = "within" if comparison.within else "outside"
    return (
        f"{published}, ours {percent(comparison.ours)}: {verdict} ±{100 * comparison.tolerance:g} "
        f"({comparison.source})"
    )
