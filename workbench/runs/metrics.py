"""The lines of `metrics.jsonl` and the files of evaluations.

Values that depend on time or load are under `wall`: without it two runs can be compared bit by bit.
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

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


class Metrics(Record, frozen=True, kw_only=True):
    """Metrics after `step` optimizer steps."""

    METRICS: ClassVar[tuple[str, ...]] = ("loss", "accuracy")
    step: int
    epoch: float = 0.0
    loss: float | None = None
    accuracy: float | None = None

    def metric(self, name: str) -> float | None:
        """A metric by name; `None` where this record does not have it."""
        return getattr(self, name) if name in self.METRICS else None


class TrainingRow(Metrics, tag_field="kind", frozen=True, kw_only=True):
    """A line of `metrics.jsonl` with means over `count` training steps."""

    ALWAYS_WRITTEN: ClassVar[tuple[str, ...]] = ("epoch", "count")
    count: int = 1
    wall: Wall = Wall()


class StepRow(TrainingRow, tag="step", frozen=True, kw_only=True):
    """Means over the steps since the previous row; `epoch` is fractional."""

    lr: float | None = None
    grad_norm: float | None = None
    """The norm of all gradients in the last of these steps, before clipping, if it was computed."""
    update_ratio: float | None = None
    """The norm of the update in the last of these steps, divided by that of the trained weights, if it was computed."""


class EpochRow(TrainingRow, tag="epoch", frozen=True, kw_only=True):
    """Means over the training steps of one epoch; `epoch` is the number of completed epochs."""


class EvaluationMetrics(Metrics, frozen=True, kw_only=True):
    """Metrics of a split, evaluated after `step`; `epoch` is the number of completed epochs."""

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
    weights_step: int | None = None
    weights_epoch: int | None = None
    """For a result: step and epoch of its weights, where they differ from `step` and `epoch`."""

    @property
    def weights_of_epoch(self) -> int:
        """The epoch whose weights were evaluated; for a result it is often earlier than the last one."""
        return int(self.epoch) if self.weights_epoch is None else self.weights_epoch

    @property
    def moment(self) -> str:
        """When its weights were made: `epoch 3`; `step 300` for a script, which counts no epochs."""
        return (
            f"step {self.step}"
            if self.step and not self.weights_of_epoch
            else f"epoch {self.weights_of_epoch}"
        )


class EvaluationRow(EvaluationMetrics, tag_field="kind", tag="evaluation", frozen=True, kw_only=True):
    """A line of `metrics.jsonl`: the metrics of an evaluation."""

    ALWAYS_WRITTEN: ClassVar[tuple[str, ...]] = ("epoch", "split")
    model: dict[str, float] = {}
    """Values specific to the model (`weight` and `bias` of a line)."""
    best: bool = False
    """Whether it is the best evaluation so far."""
    final: bool = False
    """Whether it is the result of the run: the final weights on the test split."""
    wall: Wall = Wall()

    @staticmethod
    def upgrade(content: upgrades.JsonObject) -> upgrades.JsonObject:
        """Content of an older version in the current form."""
        return upgrades.evaluation_row(content, EvaluationRow.__struct_fields__)

    def metric(self, name: str) -> float | None:
        """A metric of the evaluation or a value specific to the model, by name."""
        return super().metric(name) if name in self.METRICS else self.model.get(name)


class LogRow(Record, tag_field="kind", tag="log", frozen=True, kw_only=True):
    """A line of `metrics.jsonl` with the values that a script has logged, by their names."""

    step: int
    values: dict[str, float] = {}
    wall: Wall = Wall()


MetricLine = StepRow | EpochRow | EvaluationRow | LogRow


class ClassMetrics(Record, frozen=True, kw_only=True):
    """Metrics of one class; `None` where one is undefined (no samples, never predicted)."""

    name: str = msgspec.field(default="", name="class")
    accuracy: float | None = None
    """The same as `recall`."""
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    support: int = 0


ClassMetric = Literal["accuracy", "f1", "precision"]
CLASS_METRICS: tuple[ClassMetric, ...] = get_args(ClassMetric)
"""The metrics by which classes are compared."""


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
    """Under its key of 0.1.0: an open screen of that version fails without it."""
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


class EvaluationFile(EvaluationMetrics, frozen=True, kw_only=True):
    """`evaluations/step-N-SPLIT.json`: an evaluation with per-class metrics and confusion matrix.

    The weights' step and epoch are not in the file: `run_report.read_evaluation` sets them.
    """

    epoch: int
    split: str
    count: int = 0
    """Number of samples."""
    per_class: tuple[ClassMetrics, ...] = ()
    confusion: tuple[tuple[int, int, int], ...] = ()
    """Non-zero cells: true class, predicted class, number of samples."""
    draw: Drawing | None = None
    paths: tuple[str, ...] = ()
    """The files of the samples, as a script names them."""
    positions: tuple[int, ...] = ()
    """Of a fold that a cross-validation holds out: the index of each sample in the whole data."""
    records: RecordLayout | None = None
