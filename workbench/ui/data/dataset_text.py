"""A dataset in words and rows, as the data pane shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from workbench.compute.protocol import DatasetOverview
from workbench.compute.protocol_records import ExperimentDataset, Scatter, Split, ValueRow
from workbench.core.text import safe, short, value_range
from workbench.datasets import catalog as datasets
from workbench.datasets.dataset_facts import DatasetFacts, ElementFacts, TensorFacts
from workbench.ui.widgets.axes import Axis, fitted
from workbench.ui.widgets.plot import Series
from workbench.ui.widgets.table import Row

STYLES = ("$primary", "$accent", "$success", "$error", "$secondary", "$warning")
GLYPHS = "●○▲△■□"
"""What points of each class are drawn with, apart without colours too."""


@dataclass(frozen=True)
class Source:
    """A dataset as an experiment has it."""

    title: str
    whose: str
    dataset: ExperimentDataset
    """What is loaded."""
    batch: int
    augment: tuple[str, ...]
    own: bool
    """Whether it is somebody's own code."""

    @property
    def headline(self) -> str:
        """What, and whose."""
        return f"{self.title}──{self.whose}"

    @classmethod
    def of(cls, experiment: Mapping[str, Any], whose: str) -> Source:
        """From an experiment as it is written down. Raises `BadInput` where its dataset is not known."""
        train, dataset = experiment.get("train") or {}, ExperimentDataset.of(experiment)
        info = datasets.find(dataset.data.name)
        title = info.name if len(info.name) < 40 else "…" + info.name[-38:]
        augment = tuple(str(name) for name in train.get("augment") or ())
        return cls(title, whose, dataset, int(train.get("batch_size", 32)), augment, info.kind == "own")


def fact_lines(overview: DatasetOverview, split: Split, label: int | None, width: int) -> list[Text]:
    """Counts, what is shown of them, figures and a batch's shape."""
    facts = overview.facts
    counts = "  ".join(f"{name} {part.count:,}" for name, part in facts.splits.items())
    what = "pictures" if facts.has_images else "examples"
    classes = f"{len(facts.classes)} classes" if facts.classes else facts.task
    shown = split if label is None else f"{split}, only {safe(facts.classes[label], 20)}"
    aside = f", {facts.skipped} set aside" if facts.skipped else ""
    head = Text(f"{counts} {what}{aside}  {classes}  ").append(f"▸ {shown}", "bold")
    figures = "  ".join(
        f"{name} {' '.join(short(value) for value in values)}"
        for name, values in (("mean", facts.mean), ("std", facts.std))
        if values
    )
    behind = f" ─▸ {list(overview.output)}" if overview.output else ""
    batch = f"batch {list(facts.batch)} {facts.input.dtype}{behind}"
    target = f"target {_each(facts.target)}"
    rows = [batch]
    noise = "first tile: noise, to try transforms on" if facts.has_images and label is None else ""
    for part in filter(None, (figures, target)):
        longer = f"{rows[-1]}  {part}"
        rows = [*rows[:-1], longer] if len(longer) <= width else [*rows, part]
    if noise and len(longer := f"{rows[-1]}  {noise}") <= width:  # it is not worth a row of samples
        rows[-1] = longer
    return [head, *(Text(row, "dim") for row in rows)]


def _each(target: ElementFacts) -> str:
    """What an example's target is: `one int64`, `[3] float32`."""
    return f"{list(target.shape) or 'one'} {target.dtype}"


def tensor(facts: TensorFacts) -> str:
    """`[1, 28, 28] uint8 0…255`."""
    return f"{list(facts.shape)} {facts.dtype} {value_range(facts.low, facts.high)}"


def class_rows(facts: DatasetFacts) -> list[Row]:
    """How many examples of each class every split has."""
    rows = []
    for number, name in enumerate(facts.classes):
        counts = {split: f"{part.per_class[number]:,}" for split, part in facts.splits.items()}
        rows.append(Row(str(number), {"class": safe(name), **counts}))
    return rows


def value_rows(rows: Sequence[ValueRow]) -> list[Row]:
    """The first values of examples that are not images."""
    return [
        Row(
            str(row.index),
            {"index": str(row.index), "input": "  ".join(row.input), "target": safe(row.target)},
        )
        for row in rows
    ]


def points_of(scatter: Scatter, classes: Sequence[str]) -> list[Series]:
    """Points to draw: dots, or a glyph for each class."""
    if not scatter.labels:
        return [Series("points", scatter.xs, scatter.ys, STYLES[0], "points")]
    series = []
    for label in sorted(set(scatter.labels)):
        chosen = [i for i, one in enumerate(scatter.labels) if one == label]
        xs, ys = ([values[i] for i in chosen] for values in (scatter.xs, scatter.ys))
        glyph, style = GLYPHS[label % len(GLYPHS)], STYLES[label % len(STYLES)]
        series.append(Series(safe(classes[label]), xs, ys, style, "points", glyph))
    return series


def axes_of(scatter: Scatter) -> tuple[Axis, Axis]:
    """Axes that hold all points."""
    return fitted(scatter.xs), fitted(scatter.ys)
