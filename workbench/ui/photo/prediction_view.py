"""A prediction: the most probable classes with bars, or the outputs of a regression."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from workbench.core.text import format_fraction, format_outputs, format_percent, pad, sanitize, truncate
from workbench.inference.published_comparison import PublishedComparison
from workbench.inference.results import Prediction
from workbench.ui.base.bars import BarStyle, bar
from workbench.ui.base.theme import THEME


class PredictionView(Widget, can_focus=True):
    """Shows a prediction, the classifier that made it, and the progress or error of the next one."""

    DEFAULT_CSS = "PredictionView { height: 1fr; width: 1fr; padding-left: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,ctrl+j", "open", "open", show=False)]

    class OpenRequested(Message):
        """The user wants to enter an input."""

    caption: reactive[str] = reactive("")
    busy: reactive[str] = reactive("")
    error: reactive[str] = reactive("")
    classifier: reactive[str] = reactive("")
    """Label of the classifier of the next prediction."""
    predicted_by: reactive[str] = reactive("")
    """Label of the classifier that made the shown prediction; empty if unknown."""
    prompt: reactive[str] = reactive("image path or URL")
    """The input that `enter` asks for; if empty, no keys are shown."""
    top: reactive[tuple[Prediction, ...]] = reactive(())
    values: reactive[tuple[float, ...]] = reactive(())
    """Outputs of a regression."""
    note: reactive[str] = reactive("")
    published: reactive[str] = reactive("")
    """Comparison with the published prediction of a recipe."""

    def render(self) -> Text:
        width = self.content_size.width
        lines = (
            [Text(truncate(sanitize(self.caption), width), "bold")] if self.caption else _hints(self.prompt)
        )
        for rank, prediction in enumerate(self.top[: max(1, self.content_size.height - 3)]):
            lines.append(prediction_line(prediction, width, first=rank == 0))
        if self.values:
            lines.append(Text("predicted ").append(format_outputs(self.values), "bold"))
        if self.published and self.top:
            lines.append(Text(sanitize(self.published)))
        lines += self._classifier_lines()
        if self.busy:
            lines.append(Text("… " + sanitize(self.busy), THEME.accent or "yellow"))
        elif self.error:
            lines.append(Text(f"✗ {sanitize(self.error)}", THEME.error or "red"))
        elif self.note:
            lines.append(Text(sanitize(self.note), "dim"))
        return Text("\n").join(lines)

    def _classifier_lines(self) -> list[Text]:
        """The classifier of the shown prediction, and that of the next one if it differs."""
        if not self.predicted_by or not (self.top or self.values or self.error):
            return [Text(sanitize(self.classifier), "dim")]
        lines = [Text(sanitize(self.predicted_by), "dim")]
        if self.classifier and self.classifier != self.predicted_by:
            lines.append(Text(f"next prediction {sanitize(self.classifier)}", "dim"))
        return lines

    def show_error(self, caption: str, error: str, predicted_by: str = "") -> None:
        """Replace the prediction by an error (none if empty), so that no older prediction stays under `caption`."""
        self.caption, self.top, self.values = caption, (), ()
        self.note, self.busy, self.error, self.predicted_by = "", "", error, predicted_by

    def action_open(self) -> None:
        """Ask for an input."""
        self.post_message(self.OpenRequested())

    def on_click(self) -> None:
        """Ask for an input."""
        self.action_open()


def prediction_line(prediction: Prediction, width: int, first: bool = False) -> Text:
    """A class with its bar and probability, in `width` cells."""
    value = prediction.probability
    number = f"{prediction.index:>4} " if width >= 44 else ""
    cells = max(4, min(20, width // 4))
    room = max(4, min(28, width - len(number) - cells - 7))
    line = Text(no_wrap=True, end="").append(number, "dim")
    line.append(pad(sanitize(prediction.label), room) + " ", "bold" if first else "")
    line.append("".join(bar(value, cells, BarStyle.METRIC)), "bold" if first else "dim")
    return line.append(f" {format_fraction(value):>5}", "bold" if first else "")


HINTS = (
    ("f", "test samples"),
    ("m", "classifier"),
    ("v", "pipeline steps"),
)


def _hints(prompt: str) -> list[Text]:
    if not prompt:
        return []
    return [
        Text.assemble((key, "bold"), (f" {action}", "dim")) for key, action in (("enter", prompt), *HINTS)
    ]


def comparison_text(comparison: PublishedComparison | None) -> str:
    """The comparison with a published prediction in one line; empty if there is none."""
    if comparison is None:
        return ""
    published = f"published {comparison.top[0].label} {format_percent(comparison.published)}"
    if comparison.ours is None:
        return f"{published} for another image ({comparison.source})"
    verdict = "within" if comparison.within else "outside"
    return (
        f"{published}, ours {format_percent(comparison.ours)}: {verdict} ±{100 * comparison.tolerance:g} "
        f"({comparison.source})"
    )
