"""What a reader is, and the list of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.core.errors import UserError


@dataclass(frozen=True)
class Reader:
    """One reader, ready to read what is written to `path`."""

    path: Path
    seeds: Sequence[bytes]
    """Sound files."""
    read: Callable[[], object]
    """Reads `path`; false where it is refused without an exception."""
    refusals: tuple[type[Exception], ...] = (UserError,)
    """The documented exceptions."""


Prepare = Callable[[Path, Path], Reader]
"""Prepares a reader from the folder of a real run and an empty folder to work in."""
READERS: dict[str, Prepare] = {}


def reader(name: str) -> Callable[[Prepare], Prepare]:
    """Register a reader under a name, which is a part of file names."""

    def register(prepare: Prepare) -> Prepare:
        READERS[name] = prepare
        return prepare

    return register
