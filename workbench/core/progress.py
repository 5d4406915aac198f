"""How the doors say how far they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Progress:
    """One thing that takes a while: `done` of `total` (`None`: nobody knows) in `unit`."""

    what: str
    done: int
    total: int | None
    unit: Literal["bytes", "pictures", "batches"]


Report = Callable[[Progress], None]
"""Is told about progress; called often, from any thread of the work."""

Cancelled = Callable[[], bool]
"""Asked between pieces of work; once it is true the work ends with `Interrupted`."""


class Interrupted(Exception):
    """Somebody asked for the work to end before it was done. Nothing half done is left behind."""


def silent(_: Progress) -> None:
    """A `Report` for nobody."""


def never() -> bool:
    """A `Cancelled` that never is."""
    return False
