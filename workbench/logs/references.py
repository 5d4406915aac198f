"""Large values in a log: where they are, decoded when asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reference(Generic[T]):
    """A value in a file: `size` bytes at `offset`, or the whole file."""

    name: str
    step: int
    wall_time: float
    path: Path
    offset: int
    size: int | None
    _decode: Callable[[bytes], T | None] = field(repr=False, compare=False)

    def read(self) -> T | None:
        """Read and decode the value; `None` if the file is gone or has other content now."""
        try:
            with self.path.open("rb") as file:
                if self.size is None:
                    return self._decode(file.read())
                data = os.pread(file.fileno(), self.size, self.offset)
        except OSError:
            return None
        return self._decode(data) if len(data) == self.size else None


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values in bins; bin `i` is from `edges[i]` to `edges[i + 1]`."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]
