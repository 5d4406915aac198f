"""Short warnings about a run, most important first."""

from __future__ import annotations

import math

from workbench.core.text import sanitize
from workbench.runs.confusions import confused_pairs
from workbench.runs.metrics import EvaluationFile
from workbench.runs.reader import RunView
from workbench.runs.scores import split_label

MIN_COUNT = 5
"""Confusions with fewer errors are ignored as chance."""
NAME_WIDTH = 16
"""Maximum width of a class name in cells."""

MAX_EVALUATIONS = 1000
"""Only the newest evaluations are examined; older ones do not show the current trend."""


def insights(view: RunView | None, evaluation: EvaluationFile | None = None) -> list[str]:
    """All warnings that apply now; without an evaluation, only those of the curves."""
    if view is None:
        return []
    warnings = [at_chance(view), stalled(view), top_confusion(evaluation), never_predicted(evaluation)]
    return [text for text in warnings if text]


def top_confusion(evaluation: EvaluationFile | None) -> str:
    """`cat→dog: 14% of all val errors`."""
    pairs = confused_pairs(evaluation)
    errors = sum(count for _, _, count in pairs)
    if evaluation is None or not pairs or pairs[0][2] < MIN_COUNT or pairs[0][2] * 20 < errors:
        return ""
    true, predicted, count = pairs[0]
    share = f"{100 * count / errors:.0f}% of all {split_label(evaluation.split)} errors"
    return f"{sanitize(true, NAME_WIDTH)}→{sanitize(predicted, NAME_WIDTH)}: {share}"


def never_predicted(evaluation: EvaluationFile | None) -> str:
    """`never predicted (val): dog, cat`: classes that have samples but that the model never predicts."""
    rows = evaluation.per_class if evaluation else ()
    names = [sanitize(row.name, NAME_WIDTH) for row in rows if row.precision is None and row.support > 0]
    if evaluation is None or not names:
        return ""
    more = f" and {len(names) - 3} more" if names[3:] else ""
    return f"never predicted ({split_label(evaluation.split)}): {', '.join(names[:3])}{more}"


def stalled(view: RunView) -> str:
    """`val loss flat since epoch 11`, or `val loss rises since epoch 11 (overfitting)`."""
    newest = [row for row in view.evaluations[-MAX_EVALUATIONS:] if row.split == "validation"]
    unit = "epoch" if view.is_training else "step"
    rows = [(row.epoch if view.is_training else row.step, row.loss) for row in newest]
    known = [(epoch, loss) for epoch, loss in rows if loss is not None and math.isfinite(loss)]
    if len(known) < 5:
        return ""
    lowest = min(loss for _, loss in known)
    index = next(k for k, (_, loss) in enumerate(known) if loss <= lowest * 1.005)
    if len(known) - 1 - index < max(3, len(known) // 5):
        return ""
    since = known[index][0]
    if known[-1][1] > lowest * 1.1 + 1e-9:
        return f"val loss rises since {unit} {since:g} (overfitting)"
    return f"val loss flat since {unit} {since:g}"


def at_chance(view: RunView) -> str:
    """A warning if the training accuracy is still at chance level after three epochs."""
    classes = len(view.setup.classes) if view.setup else 0
    rows = view.epochs
    accuracy = rows[-1].accuracy if rows else None
    if classes < 2 or len(rows) < 3 or accuracy is None or accuracy > 1.2 / classes:
        return ""
    return f"train accuracy is still at chance level ({1 / classes:.2f}); try another learning rate"
