"""The direction of metrics: whether lower or higher values are better."""

from __future__ import annotations

import math

_LOWER_IS_BETTER = frozenset({"loss", "mse", "mae"})


def lower_is_better(metric: str) -> bool:
    """Whether lower values of `metric` are better."""
    return metric in _LOWER_IS_BETTER


def oriented_value(metric: str, value: float) -> float:
    """`value`, negated if lower is better, so that larger is always better; its own inverse."""
    return -value if lower_is_better(metric) else value


def ranking_key(metric: str, value: float | None) -> float:
    """A sort key: larger is better; missing and undefined values come last."""
    return -math.inf if value is None or math.isnan(value) else oriented_value(metric, value)
