"""The short name of a split, to label a metric with."""

from __future__ import annotations

_LABELS = {"validation": "val"}


def split_label(split: str) -> str:
    """`val` for `validation`; other splits (`train`, `test`) keep their name."""
    return _LABELS.get(split, split)
