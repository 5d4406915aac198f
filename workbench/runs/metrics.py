"""The lines of `metrics.jsonl` and the files of evaluations.

Values that depend on time or load are under `wall`: without it two runs can be compared bit by bit.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from workbench.io.record_codec import Record
from workbench.runs import upgrades


class Wall(Record, frozen=True, kw_only=True):
    """The part of a row that depends on time or load."""

    time: float = 0.0
    """When it was written, Unix seconds."""
    seconds: float | None = None
    """Seconds since the previous row; for an evaluation its duration."""
    samples_per_second: float | None = None


class MetricRow(Record, tag_field="kind", frozen=True, kw_only=True):
    """One line of `metrics.jsonl`; `step` is the number of optimizer steps done."""

    METRICS: ClassVar[tuple[str, ...]] = ("loss", "accuracy")
    ALWAYS_WRITTEN: ClassVar[tuple[str, ...]] = ("epoch", "count")
    step: int
    epoch: float = 0.0
    loss: float | None = None
    accuracy: float | None = None
    wall: Wall = Wall()

    def metric(self, name: str) -> float | None:
        """A metric by name; `None` where this row does not have it."""
        return getattr(self, name) if name in self.METRICS else None


class StepRow(MetricRow, tag="step", frozen=True, kw_only=True):
    """Means over the `count` steps since the previous row; `epoch` is fractional."""

    count: int = 1
    lr: float | None = None


class EpochRow(MetricRow, tag="epoch", frozen=True, kw_only=True):
    """Means over the training steps of one epoch; `epoch` is the number of completed epochs."""

    count: int = 1


class EvaluationRow(MetricRow, tag="evaluation", frozen=True, kw_only=True):
    """Metrics of a split, evaluated after `step`."""

    METRICS: ClassVar[tuple[str, ...]] = (
        "loss", "accuracy", "balanced_accuracy", "macro_f1", "top5", "tta_accuracy", "mse", "mae", "r2",
    )  # fmt: skip
    ALWAYS_WRITTEN: ClassVar[tuple[str, ...]] = ("epoch", "split")
    split: str = "test"
    balanced_accuracy: float | None = None
    macro_f1: float | None = None
    top5: float | None = None
    tta_accuracy: float | None = None
    mse: float | None = None
    mae: float | None = None
    r2: float | None = None
    model: dict[str, float] = {}
    """Values specific to the model (`weight` and `bias` of a line)."""
    best: bool = False
    """Whether it is the best evaluation so far."""
    final: bool = False
    """Whether it is the result of the run: the final weights on the test split."""
    weights_step: int | None = None
    weights_epoch: int | None = None
    """For a result: step and epoch of its weights, where they differ from `step` and `epoch`."""

    @staticmethod
    def upgrade(content: upgrades.JsonObject) -> upgrades.JsonObject:
        """Content of an older version in the current form."""
        return upgrades.evaluation_row(content, EvaluationRow.__struct_fields__)

    def metric(self, name: str) -> float | None:
        """A metric of the evaluation or a value specific to the model, by name."""
        return super().metric(name) if name in self.METRICS else self.model.get(name)

    @property
    def weights_of_epoch(self) -> int:
        """The epoch whose weights were evaluated; for a result it is often earlier than the last one."""
        return int(self.epoch) if self.weights_epoch is None else self.weights_epoch


MetricLine = StepRow | EpochRow | EvaluationRow


class ClassMetrics(Record, frozen=True, kw_only=True):
    """Metrics of one class; `None` where one is undefined (no samples, never predicted)."""

    name: str = msgspec.field(default="", name="class")
    accuracy: float | None = None
    """The same as `recall`."""
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    support: int = 0


class RecordLayout(Record, frozen=True, kw_only=True):
    """The layout of the `.bin` file of an evaluation: one record per sample, no header, no padding, little-endian."""

    file: str
    struct: str
    """A format of Python's `struct` module."""
    fields: tuple[tuple[str, int], ...]
    """Names of the fields, each with its number of values."""


class LineDrawing(Record, tag="line", tag_field="kind", frozen=True, kw_only=True):
    """A regression from one input to one output: targets and predictions, by ascending x."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    predicted: tuple[float, ...] = msgspec.field(name="said")
    before: tuple[float, ...] | None = None
    """The predictions before training."""


class RegionsDrawing(Record, tag="regions", tag_field="kind", frozen=True, kw_only=True):
    """A classification of points in the plane: the points, and the likeliest class on a grid."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    label: tuple[int, ...]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    columns: int
    rows: int
    cells: tuple[int, ...]
    """Class indices of a `rows` × `columns` grid over both ranges, row by row from the lowest y."""
    before: tuple[int, ...] | None = None
    """The cells before training."""


Drawing = LineDrawing | RegionsDrawing


class EvaluationFile(Record, frozen=True, kw_only=True):
    """`evaluations/step-N-SPLIT.json`: an evaluation with per-class metrics and confusion matrix."""

    step: int
    epoch: int
    split: str
    count: int = 0
    """Number of samples."""
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
    """Non-zero cells: true class, predicted class, number of samples."""
    draw: Drawing | None = None
    records: RecordLayout | None = None
    weights_step: int | None = None
    weights_epoch: int | None = None
    """As in `EvaluationRow`; not in the file, set by `run_report.read_evaluation`."""

    @property
    def weights_of_epoch(self) -> int:
        """The epoch whose weights were evaluated."""
        return self.epoch if self.weights_epoch is None else self.weights_epoch
