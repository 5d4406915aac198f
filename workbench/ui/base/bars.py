"""Bars for a share from 0 to 1, half a cell fine: thin ones for progress and load, thick ones for a figure."""

from __future__ import annotations

from enum import Enum


class BarStyle(Enum):
    """The characters of a bar: a full cell, half a cell and an empty cell."""

    PROGRESS = "━╸─"
    FIGURE = "▇▌▁"


def bar(share: float, width: int, look: BarStyle) -> tuple[str, str]:
    """The filled and the empty part of a bar of `width` cells."""
    full, half, empty = look.value
    halves = round(max(0.0, min(1.0, share)) * width * 2)
    filled = full * (halves // 2) + half * (halves % 2)
    return filled, empty * (width - len(filled))
