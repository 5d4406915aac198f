"""The metrics of each class of an evaluation, as rows of the classes pane's table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.config.data_summary import balance_hint, class_support, is_rare
from workbench.config.experiment import Reference
from workbench.config.training_settings import TrainingSettings
from workbench.core.text import cell_width, class_text, format_fraction, sanitize, truncate
from workbench.runs.confusions import confused_pairs
from workbench.runs.metrics import ClassMetrics, EvaluationFile
from workbench.runs.scores import split_label
from workbench.ui.base.bars import BarStyle, bar
from workbench.ui.base.status_style import MUTED
from workbench.ui.widgets.cell_grid import Cell, to_cells
from workbench.ui.widgets.table import CellContent, Cells, Column, Row

GOOD, MEDIUM, POOR = "$success", "$warning", "$error"
BAR_WIDTH, TREND_WIDTH = 10, 8
MAX_NAME_WIDTH = 24
_SPARKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class ClassRow:
    """The metrics of one class."""

    index: int
    name: str
    """As recorded, not sanitized."""
    recall: float | None
    precision: float | None
    f1: float | None
    support: int
    delta: float | None = None
    """Difference in recall to the baseline evaluation."""
    trend: tuple[float, ...] = ()
    """Recall at earlier evaluations and, if they are on the same split, at this one; oldest first."""
    predicted_as: tuple[tuple[str, int], ...] = ()
    """The wrongly predicted classes of its samples with counts (false negatives), most frequent first."""
    training: int | None = None
    """Its training samples; `None` if unknown."""
    published: float | None = None
    """Its recall in the published result of the recipe."""

    @property
    def display_name(self) -> str:
        """The sanitized name."""
        return sanitize(self.name)


@dataclass(frozen=True)
class Order:
    """A sort order of classes; classes without a value come last, also in reverse order."""

    column: str
    label: str
    """The text in the pane's title."""
    value: Callable[[ClassRow], Any] = field(repr=False)
    descending: bool = False


ORDERS = (
    Order("recall", "worst first", lambda row: row.recall),
    Order("class", "by name", lambda row: row.display_name.casefold()),
    Order("delta", "by change", lambda row: row.delta),
    Order("precision", "by precision", lambda row: row.precision),
    Order("f1", "by F1", lambda row: row.f1),
    Order("support", "by support", lambda row: row.support, descending=True),
    Order("training", "by training samples", lambda row: row.training, descending=True),
    Order("index", "by index", lambda row: row.index),
)


def class_rows(
    evaluation: EvaluationFile | None,
    earlier: Sequence[EvaluationFile] = (),
    baseline: EvaluationFile | None = None,
    training: Sequence[int] = (),
) -> list[ClassRow]:
    """The rows of all classes of an evaluation.

    `earlier`: other evaluations of the run for the trend, newest first; `baseline`: the evaluation for `delta`;
    `training`: the training samples of each class.
    """
    errors = defaultdict(list)
    for true, predicted, count in confused_pairs(evaluation):
        errors[true].append((predicted, count))
    baseline_recalls = _recalls(baseline)
    history = [_recalls(one) for one in evenly_spaced(earlier, TREND_WIDTH - 1)][::-1]
    same_split = evaluation is not None and all(e.split == evaluation.split for e in earlier)
    rows = []
    for index, metrics in enumerate(evaluation.per_class if evaluation else ()):
        row = _class_row(index, metrics)
        recall, old = row.recall, baseline_recalls.get(row.name)
        trend = [recalls[row.name] for recalls in history if row.name in recalls]
        if recall is not None and same_split:
            trend.append(recall)
        delta = None if recall is None or old is None else recall - old
        known = training[index] if index < len(training) else None
        rows.append(
            replace(
                row, delta=delta, trend=tuple(trend), predicted_as=tuple(errors[row.name]), training=known
            )
        )
    return rows


def _class_row(index: int, metrics: ClassMetrics) -> ClassRow:
    precision, f1 = _finite(metrics.precision), _finite(metrics.f1)
    return ClassRow(index, metrics.name, _recall(metrics), precision, f1, metrics.support)


def with_published(rows: Sequence[ClassRow], reference: Reference | None) -> list[ClassRow]:
    """`rows` with the published recall of each class; `reference.aliases` maps its class names to the dataset's."""
    if reference is None:
        return list(rows)
    published = {reference.aliases.get(name, name): value for name, value in reference.per_class.items()}
    return [replace(row, published=published.get(row.name)) for row in rows]


def evenly_spaced(earlier: Sequence[EvaluationFile], count: int) -> list[EvaluationFile]:
    """At most `count` of the evaluations, evenly spaced, including the first and the last."""
    if len(earlier) <= count:
        return list(earlier)
    return [earlier[round(k * (len(earlier) - 1) / (count - 1))] for k in range(count)]


def _recalls(evaluation: EvaluationFile | None) -> dict[str, float]:
    rows = evaluation.per_class if evaluation else ()
    return {row.name: recall for row in rows if (recall := _recall(row)) is not None}


def _recall(row: ClassMetrics) -> float | None:
    return _finite(row.accuracy if row.recall is None else row.recall)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def sort_rows(rows: Sequence[ClassRow], order: Order, *, reverse: bool = False) -> list[ClassRow]:
    """The rows sorted by `order` (stable); rows without a value come last."""
    known = [row for row in rows if order.value(row) is not None]
    rest = [row for row in rows if order.value(row) is None]
    return sorted(known, key=order.value, reverse=reverse != order.descending) + rest


def table_columns(rows: Sequence[ClassRow], *, trend: str = "", published: str = "") -> list[Column]:
    """The columns of the class table; in a narrow table those with the lowest `priority` are dropped first.

    `trend`, `published`: the split of these columns, where it is not that of the others.
    """
    longest = max((cell_width(row.display_name) for row in rows), default=0)
    name = max(5, min(longest, MAX_NAME_WIDTH))
    digits = max((len(str(row.support)) for row in rows), default=1)
    most = max((len(str(row.training or 0)) for row in rows), default=1)
    training = [Column("training", "train", max(5, most), priority=2, align_right=True)]
    publication = f"publ. {published}".rstrip()
    trend_title = f"{trend} trend".lstrip()
    published_column = [Column("published", publication, len(publication), priority=7, align_right=True)]
    return [
        Column("class", "class", name, priority=10, min_width=min(name, 8)),
        Column("recall", "recall", 6, priority=9, align_right=True),
        *(published_column if any(row.published is not None for row in rows) else []),
        Column("bar", "", BAR_WIDTH, priority=5, min_width=5),
        Column("delta", "Δ", 5, priority=6, align_right=True),
        Column("precision", "prec", 5, priority=4, align_right=True),
        Column("f1", "F1", 5, priority=3, align_right=True),
        Column("support", "n", max(3, digits), priority=2, align_right=True),
        *(training if any(row.training is not None for row in rows) else []),
        Column(
            "trend",
            trend_title,
            max(TREND_WIDTH, len(trend_title)),
            priority=1,
            min_width=len(trend_title),
        ),
        Column(
            "predicted_as",
            "predicted as",
            max(12, min(longest + 7, MAX_NAME_WIDTH)),
            priority=8,
            min_width=12,
            stretch=True,
        ),
    ]


def table_rows(rows: Sequence[ClassRow]) -> list[Row]:
    """The cells of each class."""
    values = [value for row in rows for value in row.trend]
    low, high = min(values, default=0.0), max(values, default=1.0)
    return [Row(row.name, _cells(row, low, high)) for row in rows]


def _cells(row: ClassRow, low: float, high: float) -> Cells:
    return {
        "class": row.display_name,
        "recall": (format_fraction(row.recall), "bold"),
        "published": (format_fraction(row.published), MUTED),
        "bar": lambda width: (share_bar(row.recall, width), quality_style(row.recall)),
        "delta": _delta(row.delta),
        "precision": format_fraction(row.precision),
        "f1": format_fraction(row.f1),
        "support": (str(row.support), MUTED),
        "training": ("" if row.training is None else str(row.training), MUTED),
        "trend": lambda width: (sparkline(row.trend[-width:], low, high), MUTED),
        "predicted_as": lambda width: _predicted_as(row, width),
    }


def _predicted_as(row: ClassRow, width: int) -> str:
    """The most frequent wrong predictions that fit into `width` cells, at least one."""
    text = ""
    for name, count in row.predicted_as:
        longer = ", ".join(filter(None, [text, _counted_name(name, count, MAX_NAME_WIDTH - 6)]))
        if text and cell_width(longer) > width:
            break
        text = longer
    return text


def _delta(value: float | None) -> CellContent:
    if value is None:
        return ""
    text = f"{value:+.2f}".replace("0.", ".", 1)
    if text in {"+.00", "-.00"}:
        return (".00", MUTED)
    return (text, GOOD if value > 0 else POOR)


def quality_style(recall: float | None) -> str:
    """The color of a recall value."""
    if recall is None:
        return MUTED
    return GOOD if recall >= 0.9 else MEDIUM if recall >= 0.6 else POOR


def share_bar(share: float | None, width: int) -> str:
    """`▇▇▇▇▇▇▇▌▁▁`: a fraction as a bar of `width` cells; empty for `None`."""
    return "" if share is None else "".join(bar(share, width, BarStyle.METRIC))


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """One block character per value, scaled from `low` to `high`, a range of at least 0.1."""
    low = min(low, high - 0.1)
    return "".join(_SPARKS[min(7, max(0, int((v - low) / (high - low) * 8)))] for v in values)


def half_width(share: float, count: int) -> float:
    """Half the width of the 95 % confidence interval of a fraction measured on `count` samples.

    Wilson's score interval (Wilson 1927, J. Am. Stat. Assoc. 22:209), which is also valid near 0 and 1.
    """
    z = 1.96
    return z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)


def summary_line(
    evaluation: EvaluationFile | None, rows: Sequence[ClassRow], reference: Reference | None, width: int
) -> list[Cell]:
    """Accuracy with its 95 % confidence interval, then as many other metrics as fit into `width` cells."""
    if evaluation is None:
        return []
    accuracy, count = _finite(evaluation.accuracy), evaluation.count
    cells = to_cells(f"{split_label(evaluation.split)} accuracy {format_fraction(accuracy)}", "bold")
    if accuracy is not None and count:
        cells += to_cells(f" ±{format_fraction(half_width(accuracy, count))}", MUTED)
    parts = [
        ("balanced", _optional_fraction(evaluation.balanced_accuracy)),
        ("worst", _worst_class(rows)),
        _published_accuracy(reference),
        ("top-5", _optional_fraction(evaluation.top5)),
        ("macro-F1", _optional_fraction(evaluation.macro_f1)),
    ]
    for label, value in parts:
        part = [*to_cells(f"   {label} ", MUTED), *to_cells(value, "")]
        if value and len(cells) + len(part) <= width:
            cells += part
    return cells


def _worst_class(rows: Sequence[ClassRow]) -> str:
    known = [(row.recall, row) for row in rows if row.recall is not None]
    if not known:
        return ""
    recall, row = min(known, key=lambda pair: pair[0])
    return f"{truncate(row.display_name, 16)} {format_fraction(recall)}"


def _published_accuracy(reference: Reference | None) -> tuple[str, str]:
    """`("published test", ".540")`: label and value of a published accuracy; the value is empty without one."""
    if reference is None or "accuracy" not in reference.metric:
        return "published", ""
    split = reference.metric.partition(".")[0]
    return f"published {split_label(split)}", _optional_fraction(reference.published)


def _optional_fraction(value: float | None) -> str:
    finite = _finite(value)
    return "" if finite is None else format_fraction(finite)


def support_line(row: ClassRow | None, counts: Mapping[str, Sequence[int]], train: TrainingSettings) -> str:
    """How many samples of a class were trained and validated on, and what helps a rare one; empty if unknown."""
    if row is None or row.index >= len(counts.get("train", ())):
        return ""
    hint = balance_hint(train) if needs_balance(row, counts) else ""
    return f"{class_text(row.name, 16)}: {class_support(row.index, counts)}{hint}{' (enter)' if hint else ''}"


def needs_balance(row: ClassRow | None, counts: Mapping[str, Sequence[int]]) -> bool:
    """Whether a class has few training samples, or none in validation."""
    training, validation = counts.get("train", ()), counts.get("validation", ())
    if row is None or row.index >= len(training):
        return False
    return is_rare(training, row.index) or (row.index < len(validation) and not validation[row.index])


def class_errors(row: ClassRow | None, rows: Sequence[ClassRow]) -> tuple[str, str]:
    """Two lines on the errors of a class: what it is predicted as, and where its false positives come from."""
    if row is None:
        return "", ""
    name, correct = class_text(row.name, 16), round((row.recall or 0.0) * row.support)
    predicted_as = f", predicted as {_list(row.predicted_as)}" if row.predicted_as else ""
    false_positives = [
        (other.name, count)
        for other in rows
        for predicted, count in other.predicted_as
        if predicted == row.name
    ]
    false_positives.sort(key=lambda pair: -pair[1])
    return (
        f"{name}: {correct} of {row.support} correct{predicted_as}",
        f"false positives from {_list(false_positives)}" if false_positives else "no false positives",
    )


def _list(pairs: Sequence[tuple[str, int]]) -> str:
    names = ", ".join(_counted_name(name, count, 16) for name, count in pairs[:6])
    return names + (f" and {len(pairs) - 6} more" if len(pairs) > 6 else "")


def _counted_name(name: str, count: int, width: int) -> str:
    return f"{sanitize(name, width)} ×{count}"
