"""The direction of metrics: whether lower or higher values are better."""

from __future__ import annotations

import math

_LOWER_IS_BETTER = frozenset({"loss", "mse", "mae"})
_LOWER_WORDS = ("loss", "error", "perplexity", "mse", "mae")
_HIGHER_WORDS = ("acc", "f1", "auc", "precision", "recall", "r2", "top5", "map50", "iou")


def lower_is_better(metric: str) -> bool:
    """Whether lower values of `metric` are better."""
    return metric in _LOWER_IS_BETTER


def named_direction(name: str) -> bool | None:
    """Whether lower values of a metric of any program are better, by the words in its name without prefixes.

    `None` where the name does not show it.
    """
    last = name.lower().rpartition("/")[2]
    if any(word in last for word in _LOWER_WORDS):
        return True
    return False if any(word in last for word in _HIGHER_WORDS) else None


def oriented_value(metric: str, value: float) -> float:
    """`value`, negated if lower is better, so that larger is always better; its own inverse."""
    return -value if lower_is_better(metric) else value


def ranking_key(metric: str, value: float | None) -> float:
    """A sort key: larger is better; missing and undefined values come last."""
    return -math.inf if value is None or math.isnan(value) else oriented_value(metric, value)
