"""Class by class: what the classes pane shows of an evaluation, as rows of text and grids of cells."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.config.experiment import Reference
from workbench.core.text import cell_width, cut, fraction, safe
from workbench.runs.confusions import confused
from workbench.runs.metrics import ClassMetrics, EvaluationFile
from workbench.ui.base.bars import BarStyle, bar
from workbench.ui.base.status_style import MUTED
from workbench.ui.widgets.cell_grid import Cell, spread
from workbench.ui.widgets.table import Cells, Column, Row, Shown

GOOD, MIDDLING, POOR = "$success", "$warning", "$error"
BAR, TREND = 10, 8
LONGEST_NAME = 24
_SPARKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Figures:
    """All that is known of one class."""

    index: int
    name: str
    """As it came: not safe to show."""
    recall: float | None
    precision: float | None
    f1: float | None
    support: int
    delta: float | None = None
    """Recall less that of the evaluation it is held against."""
    trend: tuple[float, ...] = ()
    """Recall at earlier evaluations and, when they are of one split, this one; oldest first."""
    taken_for: tuple[tuple[str, int], ...] = ()
    """What its examples were wrongly said to be, and how often; the most frequent first."""
    published: float | None = None
    """Its recall in the result that the recipe is held against."""

    @property
    def shown(self) -> str:
        """The name, fit to show."""
        return safe(self.name)


@dataclass(frozen=True)
class Order:
    """A way to sort classes; those without the figure come last either way."""

    column: str
    words: str
    """What the pane calls it."""
    value: Callable[[Figures], Any] = field(repr=False)
    backwards: bool = False


ORDERS = (
    Order("recall", "worst first", lambda f: f.recall),
    Order("class", "by name", lambda f: f.shown.casefold()),
    Order("delta", "by change", lambda f: f.delta),
    Order("precision", "by precision", lambda f: f.precision),
    Order("f1", "by F1", lambda f: f.f1),
    Order("support", "by number", lambda f: f.support, backwards=True),
    Order("index", "in their order", lambda f: f.index),
)


def figures(
    evaluation: EvaluationFile | None,
    earlier: Sequence[EvaluationFile] = (),
    against: EvaluationFile | None = None,
) -> list[Figures]:
    """Every class of an evaluation.

    `earlier` are others of the same run, newest first, for the trend; `against` is what `delta` is taken from.
    """
    wrong = defaultdict(list)
    for true, predicted, count in confused(evaluation):
        wrong[true].append((predicted, count))
    before = _recalls(against)
    past = [_recalls(one) for one in thinned(earlier, TREND - 1)][::-1]
    one_split = evaluation is not None and all(e.split == evaluation.split for e in earlier)
    found = []
    for index, row in enumerate(evaluation.per_class if evaluation else ()):
        one = _measured(index, row)
        recall, old = one.recall, before.get(one.name)
        trend = [known[one.name] for known in past if one.name in known]
        if recall is not None and one_split:
            trend.append(recall)
        delta = None if recall is None or old is None else recall - old
        found.append(replace(one, delta=delta, trend=tuple(trend), taken_for=tuple(wrong[one.name])))
    return found


def _measured(index: int, row: ClassMetrics) -> Figures:
    """The metrics of a class in an evaluation."""
    return Figures(index, row.name, _recall(row), _finite(row.precision), _finite(row.f1), row.support)


def beside_published(rows: Sequence[Figures], reference: Reference | None) -> list[Figures]:
    """`rows` with the accuracies that a recipe's `reference` has for each class, under the dataset's names."""
    if reference is None:
        return list(rows)
    found = {reference.aliases.get(name, name): value for name, value in reference.per_class.items()}
    return [replace(row, published=found.get(row.name)) for row in rows]


def thinned(earlier: Sequence[EvaluationFile], count: int) -> list[EvaluationFile]:
    """At most `count` of them, evenly spaced, the first one among them."""
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


def ordered(rows: Sequence[Figures], order: Order, *, reverse: bool = False) -> list[Figures]:
    """Sorted by `order`, ties as they came; what has no such figure is last."""
    known = [row for row in rows if order.value(row) is not None]
    rest = [row for row in rows if order.value(row) is None]
    return sorted(known, key=order.value, reverse=reverse != order.backwards) + rest


def table_columns(rows: Sequence[Figures]) -> list[Column]:
    """The columns of the table of classes; where there is little room, those with the lowest `keep` go first."""
    longest = max((cell_width(row.shown) for row in rows), default=0)
    name = max(5, min(longest, LONGEST_NAME))
    taken = min(longest + 7, LONGEST_NAME)
    digits = max((len(str(row.support)) for row in rows), default=1)
    published = [Column("published", "publ.", 5, keep=7, right=True)]
    return [
        Column("class", "class", name, keep=10, least=min(name, 8)),
        Column("recall", "recall", 6, keep=9, right=True),
        *(published if any(row.published is not None for row in rows) else []),
        Column("bar", "", BAR, keep=5, least=5),
        Column("delta", "Δ", 5, keep=6, right=True),
        Column("precision", "prec", 5, keep=4, right=True),
        Column("f1", "F1", 5, keep=3, right=True),
        Column("support", "n", max(3, digits), keep=2, right=True),
        Column("trend", "trend", TREND, keep=1, least=5),
        Column("taken", "taken for", max(9, taken), keep=8, least=9),
    ]


def table_rows(rows: Sequence[Figures]) -> list[Row]:
    """What the table shows of each class."""
    values = [value for row in rows for value in row.trend]
    low, high = min(values, default=0.0), max(values, default=1.0)
    return [Row(row.name, _cells(row, low, high)) for row in rows]


def _cells(row: Figures, low: float, high: float) -> Cells:
    taken = f"{safe(row.taken_for[0][0], LONGEST_NAME - 6)} ×{row.taken_for[0][1]}" if row.taken_for else ""
    return {
        "class": row.shown,
        "recall": (fraction(row.recall), "bold"),
        "published": (fraction(row.published), MUTED),
        "bar": lambda width: (share_bar(row.recall, width), quality(row.recall)),
        "delta": _delta(row.delta),
        "precision": fraction(row.precision),
        "f1": fraction(row.f1),
        "support": (str(row.support), MUTED),
        "trend": lambda width: (sparkline(row.trend[-width:], low, high), MUTED),
        "taken": taken,
    }


def _delta(value: float | None) -> Shown:
    if value is None:
        return ""
    shown = f"{value:+.2f}".replace("0.", ".", 1)
    if shown in {"+.00", "-.00"}:
        return (".00", MUTED)
    return (shown, GOOD if value > 0 else POOR)


def quality(recall: float | None) -> str:
    """The colour of a share that was right."""
    if recall is None:
        return MUTED
    return GOOD if recall >= 0.9 else MIDDLING if recall >= 0.6 else POOR


def share_bar(share: float | None, width: int) -> str:
    """`▇▇▇▇▇▇▇▌▁▁`: a share as a bar of `width` cells; empty where it is not known."""
    return "" if share is None else "".join(bar(share, width, BarStyle.FIGURE))


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """A column for each value, on a scale that all lines of a table share (never finer than .1 from end to end)."""
    low = min(low, high - 0.1)
    return "".join(_SPARKS[min(7, max(0, int((v - low) / (high - low) * 8)))] for v in values)


def half_width(share: float, count: int) -> float:
    """Half of the 95 % interval of a share measured on `count` examples.

    Wilson's score interval (Wilson 1927, J. Am. Stat. Assoc. 22:209): also right near 0 and 1.
    """
    z = 1.96
    return z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)


def summary(
    evaluation: EvaluationFile | None, rows: Sequence[Figures], published: float | None, width: int
) -> list[Cell]:
    """The line over all: accuracy with its interval, then as many of the others as have room."""
    if evaluation is None:
        return []
    accuracy, count = _finite(evaluation.accuracy), evaluation.count
    cells = [*spread("all ", "bold"), *spread(fraction(accuracy), "bold")]
    if accuracy is not None and count:
        cells += spread(f" ±{fraction(half_width(accuracy, count))}", MUTED)
    worst = min(
        (row for row in rows if row.recall is not None), key=lambda row: row.recall or 0.0, default=None
    )
    parts = [
        ("balanced", _named(evaluation.balanced_accuracy)),
        ("worst", f"{cut(worst.shown, 16)} {fraction(worst.recall)}" if worst else ""),
        ("published", _named(published)),
        ("top-5", _named(evaluation.top5)),
        ("macro-F1", _named(evaluation.macro_f1)),
    ]
    for label, value in parts:
        part = [*spread(f"   {label} ", MUTED), *spread(value, "")]
        if value and len(cells) + len(part) <= width:
            cells += part
    return cells


def _named(value: float | None) -> str:
    found = _finite(value)
    return "" if found is None else fraction(found)


def reason(row: Figures | None, rows: Sequence[Figures]) -> tuple[str, str]:
    """Why a class's figures are what they are: what it is taken for, and what is taken for it."""
    if row is None:
        return "", ""
    name, right = cut(row.shown, 16), round((row.recall or 0.0) * row.support)
    others = [(other.name, count) for other in rows for said, count in other.taken_for if said == row.name]
    return (
        f"{name}: {right} of {row.support} right, taken for {_list(row.taken_for)}",
        f"taken for {name}: {_list(sorted(others, key=lambda pair: -pair[1]))}",
    )


def _list(pairs: Sequence[tuple[str, int]]) -> str:
    shown = ", ".join(f"{safe(name, 16)} ×{count}" for name, count in pairs[:6])
    return (shown or "nothing else") + (f" and {len(pairs) - 6} more" if len(pairs) > 6 else "")
