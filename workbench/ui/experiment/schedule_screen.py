"""The schedule of a run before its start: the learning rate of every step, as a plot and as one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from workbench.charts.axes import Axis, fit_axis
from workbench.config.lr_schedule import first_averaged_epoch, lr_at
from workbench.config.training_settings import TrainingSettings
from workbench.ui.base.dialog import Dialog
from workbench.ui.widgets.plot import Mark, Plot, Series, Title

ASSUMED_STEPS = 100
"""Steps of an epoch where the number of samples is not known yet."""
MAX_POINTS = 2000
SPARKS = "▁▂▃▄▅▆▇█"
SPARK_COUNT = 24
WITH_MOMENTUM = ("sgd", "rmsprop")


def sampled_rates(
    train: TrainingSettings, steps_per_epoch: int | None, count: int = MAX_POINTS
) -> tuple[list[float], list[float]]:
    """Epochs and learning rates at about `count` steps of a run, its first and its last among them."""
    per_epoch = steps_per_epoch or ASSUMED_STEPS
    total = train.epochs * per_epoch
    count = min(count, total)
    steps = [round(i * (total - 1) / max(1, count - 1)) for i in range(count)]
    return [step / per_epoch for step in steps], [lr_at(step, train, per_epoch) for step in steps]


def schedule_line(train: TrainingSettings, steps_per_epoch: int | None) -> str:
    """The learning rate over the run in one line; empty where it is constant."""
    _, rates = sampled_rates(train, steps_per_epoch, SPARK_COUNT)
    highest = max(rates)
    if min(rates) == highest:
        return ""
    return "".join(SPARKS[min(len(SPARKS) - 1, int(len(SPARKS) * rate / highest))] for rate in rates)


class ScheduleScreen(Dialog[None]):
    """The learning rate of every step of a run, and what else changes in it."""

    DEFAULT_CSS = """
    ScheduleScreen { align: center middle; }
    ScheduleScreen > Vertical {
        width: 80%; height: 60%; border: round $accent; background: $surface; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,o,enter,ctrl+j", "dismiss", "back")]

    def __init__(self, train: TrainingSettings, steps_per_epoch: int | None) -> None:
        super().__init__()
        self._train, self._steps = train, steps_per_epoch

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = "Learning rate over epochs"
            frame.border_subtitle = "esc back"
            yield Plot()

    def on_mount(self) -> None:
        train = self._train
        epochs, rates = sampled_rates(train, self._steps)
        series = [Series("lr", epochs, rates, "$accent")]
        if train.head_lr:
            head = [rate * train.head_lr / train.lr for rate in rates]
            series.append(Series("head", epochs, head, "$success", "dashed"))
        highest = [value for one in series for value in one.ys]
        self.query_one(Plot).draw(
            series, Axis(0.0, train.epochs), fit_axis(highest, cut_spikes=False), _marks(train), _title(train)
        )


def _title(train: TrainingSettings) -> Title:
    parts = [(f"{train.schedule}  up to {train.lr:g}", "$accent")]
    if train.head_lr:
        parts.append((f"  head up to {train.head_lr:g}", "$success"))
    if train.optimizer in WITH_MOMENTUM:
        parts.append((f"  momentum {train.momentum:g} throughout", "$foreground-muted"))
    return parts


def _marks(train: TrainingSettings) -> Sequence[Mark]:
    """What begins within the run: training of the backbone, averaging of the weights."""
    marks = []
    if 0 < train.freeze_epochs < train.epochs:
        marks.append(Mark(x=train.freeze_epochs, label="unfrozen"))
    if train.swa:
        marks.append(Mark(x=first_averaged_epoch(train), label="averaged"))
    return marks
