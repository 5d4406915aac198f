"""Which way a metric improves: the one place that knows of which metrics the lowest value is the best."""

from __future__ import annotations

import math

_LOWER_IS_BETTER = frozenset({"loss", "mse", "mae"})


def lower_is_better(metric: str) -> bool:
    """Whether the lowest value of `metric` is the best one."""
    return metric in _LOWER_IS_BETTER


def oriented(metric: str, value: float) -> float:
    """`value` with the sign that makes larger better; applied twice it is `value` again."""
    return -value if lower_is_better(metric) else value


def rank(metric: str, value: float | None) -> float:
    """A sort key, larger is better; a missing or undefined value is the worst."""
    return -math.inf if value is None or math.isnan(value) else oriented(metric, value)
