"""Bars for a fraction from 0 to 1, in half cells: thin ones for progress and load, thick ones for metrics."""

from __future__ import annotations

from enum import Enum


class BarStyle(Enum):
    """The characters of a bar: a full cell, half a cell and an empty cell."""

    PROGRESS = "━╸─"
    METRIC = "▇▌▁"


def bar(fraction: float, width: int, style: BarStyle) -> tuple[str, str]:
    """The filled and the empty part of a bar of `width` cells."""
    full, half, empty = style.value
    halves = round(max(0.0, min(1.0, fraction)) * width * 2)
    filled = full * (halves // 2) + half * (halves % 2)
    return filled, empty * (width - len(filled))
