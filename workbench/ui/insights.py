"""What a person would want pointed out about a run, in a few words each, the weightiest first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.runs.reader import RunView
from workbench.runs.records import number
from workbench.text import safe

FEWEST = 5
"""A confusion that happened less often is an accident."""
NAME = 16
"""Cells that a class's name may take here."""

NEWEST = 1000
"""Evaluations that are looked at: what is older says nothing of how it goes on."""

Evaluation = Mapping[str, Any]


def insights(view: RunView | None, evaluation: Evaluation | None = None) -> list[str]:
    """Everything that is worth a word now; without an evaluation, only what the curves tell."""
    if view is None:
        return []
    found = [at_chance(view), stalled(view), top_confusion(evaluation), never_predicted(evaluation)]
    return [text for text in found if text]


def top_confusion(evaluation: Evaluation | None) -> str:
    """`cat→dog: 14% of all errors`."""
    pairs = confused(evaluation)
    errors = sum(count for _, _, count in pairs)
    if not pairs or pairs[0][2] < FEWEST or pairs[0][2] * 20 < errors:
        return ""
    true, said, count = pairs[0]
    return f"{safe(true, NAME)}→{safe(said, NAME)}: {100 * count / errors:.0f}% of all errors"


def never_predicted(evaluation: Evaluation | None) -> str:
    """`never predicted: dog, cat`: classes that have examples, and that the model never says."""
    names = [
        safe(row.get("class"), NAME)
        for row in rows_of(evaluation)
        if row.get("precision") is None and (number(row.get("support")) or 0) > 0
    ]
    if not names:
        return ""
    return f"never predicted: {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if names[3:] else "")


def stalled(view: RunView) -> str:
    """`val loss flat since 11`, or that it rises."""
    newest = [row for row in view.evaluations[-NEWEST:] if row.get("split") == "validation"]
    rows = [(row.get("epoch"), number(row.get("loss"))) for row in newest]
    known = [(epoch, loss) for epoch, loss in rows if loss is not None and math.isfinite(loss)]
    if len(known) < 5:
        return ""
    lowest = min(loss for _, loss in known)
    place = next(k for k, (_, loss) in enumerate(known) if loss <= lowest * 1.005)
    if len(known) - 1 - place < max(3, len(known) // 5):
        return ""
    since = known[place][0]
    if known[-1][1] > lowest * 1.1 + 1e-9:
        return f"val loss rises since epoch {since} (overfitting)"
    return f"val loss flat since epoch {since}"


def at_chance(view: RunView) -> str:
    """That nothing was learned by the third epoch."""
    classes = len((view.setup or {}).get("classes") or ())
    rows = view.epochs
    accuracy = number(rows[-1].get("accuracy")) if rows else None
    if classes < 2 or len(rows) < 3 or accuracy is None or accuracy > 1.2 / classes:
        return ""
    return f"accuracy is still at chance ({1 / classes:.2f}): another learning rate?"


def rows_of(evaluation: Evaluation | None) -> list[Mapping[str, Any]]:
    """The per-class rows of an evaluation; empty where there are none."""
    rows = evaluation.get("per_class") if evaluation else None
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def confused(evaluation: Evaluation | None) -> list[tuple[str, str, int]]:
    """True class, predicted class and how often, for all that was wrong; the most frequent first."""
    names = [str(row.get("class")) for row in rows_of(evaluation)]
    pairs = [
        (names[true], names[said], count)
        for true, said, count in cells_of(evaluation)
        if true != said and true < len(names) and said < len(names)
    ]
    return sorted(pairs, key=lambda pair: -pair[2])


def cells_of(evaluation: Evaluation | None) -> list[tuple[int, int, int]]:
    """The cells of the confusion matrix that are not 0: true class, predicted class, examples."""
    cells = evaluation.get("confusion") if evaluation else None
    if not isinstance(cells, Sequence):
        return []
    return [
        (int(cell[0]), int(cell[1]), int(cell[2]))
        for cell in cells
        if isinstance(cell, Sequence) and len(cell) == 3 and all(isinstance(v, int) and v >= 0 for v in cell)
    ]
