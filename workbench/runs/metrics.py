"""The lines of `metrics.jsonl` and the files of evaluations.

What depends on time or load stands under `wall`: without it two runs can be compared bit by bit.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from workbench.io.record_codec import Record
from workbench.runs import upgrades


class Wall(Record, frozen=True, kw_only=True):
    """What of a row depends on time or load."""

    time: float = 0.0
    seconds: float | None = None
    """Since the row before; of an evaluation: its own."""
    samples_per_second: float | None = None


class MetricRow(Record, tag_field="kind", frozen=True, kw_only=True):
    """One line of `metrics.jsonl`, placed by `step`: optimizer steps done."""

    METRICS: ClassVar[tuple[str, ...]] = ("loss", "accuracy")
    step: int
    epoch: float = 0
    loss: float | None = None
    accuracy: float | None = None
    wall: Wall = Wall()

    def metric(self, name: str) -> float | None:
        """A metric by its name; `None` where this row does not have it."""
        return getattr(self, name) if name in self.METRICS else None


class StepRow(MetricRow, tag="step", frozen=True, kw_only=True):
    """Means over the `count` steps since the row before; `epoch` is fractional."""

    count: int = 1
    lr: float | None = None


class EpochRow(MetricRow, tag="epoch", frozen=True, kw_only=True):
    """Means over the training steps of one epoch; `epoch` completed ones."""

    count: int = 1


class EvaluationRow(MetricRow, tag="evaluation", frozen=True, kw_only=True):
    """Metrics of a split, measured after `step`."""

    METRICS: ClassVar[tuple[str, ...]] = (
        "loss", "accuracy", "balanced_accuracy", "macro_f1", "top5", "tta_accuracy", "mse", "mae", "r2",
    )  # fmt: skip
    split: str = "test"
    balanced_accuracy: float | None = None
    macro_f1: float | None = None
    top5: float | None = None
    tta_accuracy: float | None = None
    mse: float | None = None
    mae: float | None = None
    r2: float | None = None
    model: dict[str, float] = {}
    """Values of the model's own (`weight` and `bias` of a line)."""
    best: bool = False
    """Whether it is the best so far."""
    final: bool = False
    """Whether it is the run's result: the test split with the weights that are kept."""
    weights_step: int | None = None
    weights_epoch: int | None = None
    """Of a result: when its weights were reached, where that is not `step`."""

    @staticmethod
    def upgrade(content: upgrades.JsonObject) -> upgrades.JsonObject:
        """Content of an older version as today's."""
        return upgrades.evaluation_row(content, EvaluationRow.__struct_fields__)

    def metric(self, name: str) -> float | None:
        """A metric of the evaluation or a value of the model's own, by name."""
        return super().metric(name) if name in self.METRICS else self.model.get(name)

    @property
    def weights_of_epoch(self) -> int:
        """The epoch whose weights were measured: of a result it is often an earlier one than the last."""
        return int(self.epoch) if self.weights_epoch is None else self.weights_epoch


MetricLine = StepRow | EpochRow | EvaluationRow


class ClassMetrics(Record, frozen=True, kw_only=True):
    """Metrics of one class; `None` where one is undefined (no samples, never predicted)."""

    name: str = msgspec.field(default="", name="class")
    accuracy: float | None = None
    """Its recall."""
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    support: int = 0


class RecordLayout(Record, frozen=True, kw_only=True):
    """How the `.bin` beside an evaluation is read: one record a sample, no header, no padding, little-endian."""

    file: str
    struct: str
    """As Python's `struct` writes it."""
    fields: tuple[tuple[str, int], ...]
    """Names, each with its number of values."""


class LineDrawing(Record, tag="line", tag_field="kind", frozen=True, kw_only=True):
    """One number to one number: what is true and what the model predicts, by ascending x."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    predicted: tuple[float, ...] = msgspec.field(name="said")
    before: tuple[float, ...] | None = None
    """What the model of step 0 predicted."""


class RegionsDrawing(Record, tag="regions", tag_field="kind", frozen=True, kw_only=True):
    """Two numbers to classes: points, and the likeliest class at `columns` × `rows` places."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    label: tuple[int, ...]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    columns: int
    rows: int
    cells: tuple[int, ...]
    """Row by row from the lowest, evenly over both ranges."""
    before: tuple[int, ...] | None = None
    """The cells of step 0."""


Drawing = LineDrawing | RegionsDrawing


class EvaluationFile(Record, frozen=True, kw_only=True):
    """`evaluations/step-N-SPLIT.json`: one evaluation class by class."""

    step: int
    epoch: int
    split: str
    count: int = 0
    """Samples."""
    loss: float | None = None
    accuracy: float | None = None
    balanced_accuracy: float | None = None
    macro_f1: float | None = None
    top5: float | None = None
    tta_accuracy: float | None = None
    mse: float | None = None
    mae: float | None = None
    r2: float | None = None
    per_class: tuple[ClassMetrics, ...] = ()
    confusion: tuple[tuple[int, int, int], ...] = ()
    """True class, predicted class, samples; zeros are left out."""
    draw: Drawing | None = None
    records: RecordLayout | None = None
    weights_step: int | None = None
    weights_epoch: int | None = None
    """As in `EvaluationRow`; not in the file, filled in by who reads it for a row."""

    @property
    def weights_of_epoch(self) -> int:
        """The epoch whose weights were measured."""
        return self.epoch if self.weights_epoch is None else self.weights_epoch
