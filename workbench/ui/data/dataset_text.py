"""The facts, classes and values of a dataset as text, rows and points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from rich.text import Text

from workbench.charts.axes import Axis, fit_axis
from workbench.compute.protocol_records import ExperimentDataset, Scatter, Split, ValueRow
from workbench.compute.protocol_responses import DatasetOverview
from workbench.config.experiment import Experiment
from workbench.core.text import format_compact, format_range, plural, sanitize
from workbench.datasets import catalog as datasets
from workbench.datasets.augmentation_options import AugmentationOptions
from workbench.datasets.dataset_facts import DatasetFacts, ElementFacts, TensorFacts
from workbench.ui.widgets.chooser import Option
from workbench.ui.widgets.plot import Series
from workbench.ui.widgets.table import Column, Row

STYLES = ("$primary", "$accent", "$success", "$error", "$secondary", "$warning")
GLYPHS = "●○▲△■□"
"""The glyph of each class in a scatter plot, distinct also without colors."""

CLASS_COLUMNS = (
    Column("class", "class", 11, priority=3, min_width=6),
    Column("train", "train", 6, priority=2, align_right=True),
    Column("validation", "val", 5, priority=1, align_right=True),
    Column("test", "test", 6, priority=1, align_right=True),
)
VALUE_COLUMNS = (
    Column("index", "#", 6, priority=1, align_right=True),
    Column("input", "input", 24, priority=3, min_width=8),
    Column("target", "target", 12, priority=2, min_width=6),
)


MAX_NOTICES = 3
"""Notices that are shown above the samples."""


@dataclass(frozen=True)
class DatasetSource:
    """A dataset as an experiment uses it."""

    title: str
    owner: str
    """`of the experiment`, or `of` a run."""
    dataset: ExperimentDataset
    batch: int
    """Batch size of training."""
    augment: tuple[str, ...]
    augment_options: AugmentationOptions
    is_user_code: bool
    """Whether loading it runs code of the user."""

    @property
    def headline(self) -> str:
        """Title and owner."""
        return f"{self.title}──{self.owner}"

    @classmethod
    def from_experiment(cls, experiment: Experiment, owner: str) -> DatasetSource:
        """The dataset of an experiment. Raises `UserError` if the dataset is unknown."""
        dataset, train = ExperimentDataset.from_experiment(experiment), experiment.train
        info = datasets.find(dataset.data.name)
        title = info.name if len(info.name) < 40 else "…" + info.name[-38:]
        options, is_user_code = train.augmentation_options, info.kind == "custom"
        return cls(title, owner, dataset, train.batch_size, tuple(train.augment), options, is_user_code)


def fact_lines(overview: DatasetOverview, split: Split, label: int | None, width: int) -> list[Text]:
    """Counts with the shown split and class, mean and std, the shape of a batch and of the targets."""
    facts = overview.facts
    counts = "  ".join(f"{name} {part.count:,}" for name, part in facts.splits.items())
    what = "images" if facts.has_images else "samples"
    classes = plural(len(facts.classes), "class") if facts.classes else facts.task
    selection = split if label is None else f"{split}, only {sanitize(facts.classes[label], 20)}"
    skipped = f", {facts.skipped.count:,} skipped" if facts.skipped.count else ""
    head = Text(f"{counts} {what}{skipped}  {classes}  ").append(f"▸ {selection}", "bold")
    moments = "  ".join(
        f"{name} {' '.join(format_compact(value) for value in values)}"
        for name, values in (("mean", facts.mean), ("std", facts.std))
        if values
    )
    output = f" ─▸ {list(overview.output)}" if overview.output else ""
    batch = f"batch {list(facts.batch)} {facts.input.dtype}{output}"
    target = f"target {_element(facts.target)}"
    rows = [batch]
    for part in filter(None, (moments, target)):
        longer = f"{rows[-1]}  {part}"
        rows = [*rows[:-1], longer] if len(longer) <= width else [*rows, part]
    return [head, *(Text(row, "dim") for row in rows), *_remark_lines(overview)]


def _remark_lines(overview: DatasetOverview) -> list[Text]:
    """The first notices, or else the last line that user code printed, and how many lines there are; none for none."""
    facts, printed = overview.facts, overview.printed
    if not facts.notices and not printed:
        return []
    counts = [
        plural(count, name)
        for name, count in (
            ("notice", len(facts.notices)),
            ("skipped file", facts.skipped.count),
            ("printed line", len(printed)),
        )
        if count
    ]
    first = facts.notices[0] if facts.notices else f"printed: {printed[-1]}"
    lines = [Text(f"o: {', '.join(counts)}  ", "bold").append(sanitize(first))]
    return lines + [Text(sanitize(notice), "dim") for notice in facts.notices[1:MAX_NOTICES]]


def remarks(overview: DatasetOverview) -> list[str]:
    """All notices on the dataset, every skipped file with its reason, and what user code printed."""
    facts = overview.facts
    skipped = [f"skipped {file.path}: {file.reason}" for file in facts.skipped.files]
    rest = facts.skipped.count - len(skipped)
    more = [f"and {plural(rest, 'more file')}"] if rest > 0 else []
    printed = ["printed by the user code:", *(f"  {line}" for line in overview.printed)]
    return [*facts.notices, *skipped, *more, *(printed if overview.printed else [])]


def _element(target: ElementFacts) -> str:
    """The target of one sample: `int64 scalar`, `[3] float32`."""
    return f"{list(target.shape)} {target.dtype}" if target.shape else f"{target.dtype} scalar"


def format_tensor(facts: TensorFacts) -> str:
    """`[1, 28, 28] uint8 0 to 255`."""
    return f"{list(facts.shape)} {facts.dtype} {format_range(facts.low, facts.high)}"


def sample_title(split: str, index: int) -> str:
    """`train sample 3`; `random noise` for the image that is not from the dataset (index -1)."""
    return f"{split} sample {index}" if index >= 0 else "random noise"


def class_rows(facts: DatasetFacts) -> list[Row]:
    """The samples of each class in each split."""
    rows = []
    for number, name in enumerate(facts.classes):
        counts = {split: f"{part.per_class[number]:,}" for split, part in facts.splits.items()}
        rows.append(Row(str(number), {"class": sanitize(name), **counts}))
    return rows


def split_counts(overview: DatasetOverview | None) -> list[tuple[str, str]]:
    """The splits with their sample counts; all possible splits without counts until the dataset is loaded."""
    if overview is None:
        return [(name, "") for name in get_args(Split)]
    return [(name, f"{split.count:,}") for name, split in overview.facts.splits.items()]


def class_options(facts: DatasetFacts, split: Split) -> list[Option]:
    """The classes with their samples in `split`, after an option for all classes (its key is empty)."""
    counts = facts.splits[split].per_class
    options = [Option("", ("all classes",))]
    for label, (name, count) in enumerate(zip(facts.classes, counts, strict=True)):
        options.append(Option(str(label), (name, f"{count:,}")))
    return options


def value_rows(rows: Sequence[ValueRow]) -> list[Row]:
    """The first values of each sample of a dataset without images."""
    return [
        Row(
            str(row.index),
            {"index": str(row.index), "input": "  ".join(row.input), "target": sanitize(row.target)},
        )
        for row in rows
    ]


def scatter_series(scatter: Scatter, classes: Sequence[str]) -> list[Series]:
    """The points as dots, or as one glyph per class."""
    if not scatter.labels:
        return [Series("points", scatter.xs, scatter.ys, STYLES[0], "points")]
    series = []
    for label in sorted(set(scatter.labels)):
        indices = [i for i, other in enumerate(scatter.labels) if other == label]
        xs, ys = ([values[i] for i in indices] for values in (scatter.xs, scatter.ys))
        glyph, style = GLYPHS[label % len(GLYPHS)], STYLES[label % len(STYLES)]
        series.append(Series(sanitize(classes[label]), xs, ys, style, "points", glyph))
    return series


def scatter_axes(scatter: Scatter) -> tuple[Axis, Axis]:
    """Axes that contain all points."""
    return fit_axis(scatter.xs), fit_axis(scatter.ys)
