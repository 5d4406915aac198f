"""Progress of long operations, and their cancellation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Progress:
    """Progress of one operation: `done` of `total` (`None`: unknown) in `unit`."""

    what: str
    """The operation, for people: `downloading cifar10`."""
    done: int = 0
    total: int | None = None
    unit: Literal["", "bytes", "images", "batches", "steps"] = ""
    """Empty for an operation without parts to count."""


ProgressCallback = Callable[[Progress], None]
"""Receives progress; called often, from any thread of the operation."""

CancelCheck = Callable[[], bool]
"""Called between parts of an operation; once it returns true, the operation raises `Cancelled`."""


class Cancelled(Exception):
    """An operation was cancelled before it was complete. No partial results are left behind."""


def ignore_progress(_: Progress) -> None:
    """A `ProgressCallback` that discards everything."""


def never_cancelled() -> bool:
    """A `CancelCheck` of an operation that can't be cancelled."""
    return False
