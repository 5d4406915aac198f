"""What a person would want pointed out about a run, in a few words each, the weightiest first."""

from __future__ import annotations

import math

from workbench.core.text import safe
from workbench.runs.confusions import confused
from workbench.runs.metrics import EvaluationFile
from workbench.runs.reader import RunView

FEWEST = 5
"""A confusion that happened less often is an accident."""
NAME = 16
"""Cells that a class's name may take here."""

NEWEST = 1000
"""Evaluations that are looked at: what is older says nothing of how it goes on."""


def insights(view: RunView | None, evaluation: EvaluationFile | None = None) -> list[str]:
    """Everything that is worth a word now; without an evaluation, only what the curves tell."""
    if view is None:
        return []
    found = [at_chance(view), stalled(view), top_confusion(evaluation), never_predicted(evaluation)]
    return [text for text in found if text]


def top_confusion(evaluation: EvaluationFile | None) -> str:
    """`cat→dog: 14% of all errors`."""
    pairs = confused(evaluation)
    errors = sum(count for _, _, count in pairs)
    if not pairs or pairs[0][2] < FEWEST or pairs[0][2] * 20 < errors:
        return ""
    true, said, count = pairs[0]
    return f"{safe(true, NAME)}→{safe(said, NAME)}: {100 * count / errors:.0f}% of all errors"


def never_predicted(evaluation: EvaluationFile | None) -> str:
    """`never predicted: dog, cat`: classes that have examples, and that the model never says."""
    rows = evaluation.per_class if evaluation else ()
    names = [safe(row.name, NAME) for row in rows if row.precision is None and row.support > 0]
    if not names:
        return ""
    return f"never predicted: {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if names[3:] else "")


def stalled(view: RunView) -> str:
    """`val loss flat since 11`, or that it rises."""
    newest = [row for row in view.evaluations[-NEWEST:] if row.split == "validation"]
    rows = [(row.epoch, row.loss) for row in newest]
    known = [(epoch, loss) for epoch, loss in rows if loss is not None and math.isfinite(loss)]
    if len(known) < 5:
        return ""
    lowest = min(loss for _, loss in known)
    place = next(k for k, (_, loss) in enumerate(known) if loss <= lowest * 1.005)
    if len(known) - 1 - place < max(3, len(known) // 5):
        return ""
    since = known[place][0]
    if known[-1][1] > lowest * 1.1 + 1e-9:
        return f"val loss rises since epoch {since:g} (overfitting)"
    return f"val loss flat since epoch {since:g}"


def at_chance(view: RunView) -> str:
    """That nothing was learned by the third epoch."""
    classes = len(view.setup.classes) if view.setup else 0
    rows = view.epochs
    accuracy = rows[-1].accuracy if rows else None
    if classes < 2 or len(rows) < 3 or accuracy is None or accuracy > 1.2 / classes:
        return ""
    return f"accuracy is still at chance ({1 / classes:.2f}): another learning rate?"
