"""Where runs are put before they are gone for good, and how they come back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from workbench import paths
from workbench.errors import BadInput
from workbench.io.atomic import read_json
from workbench.io.caches import size_of
from workbench.runs.finding import chosen
from workbench.runs.layout import RunFolder


class Trashed(NamedTuple):
    """A run in the trash."""

    id: str
    name: str
    bytes: int
    put_away: float
    """When, as a time since the epoch."""


def rows() -> list[Trashed]:
    """What lies in the trash, what was put there last first."""
    found = [_trashed(path) for path in _folders()]
    return sorted(found, key=lambda row: row.put_away, reverse=True)


def put(folder: RunFolder) -> Path:
    """Move a run's folder here; returns where it is. Raises `BadInput`."""
    target = paths.trash() / folder.id
    if target.exists():
        raise BadInput(f"{target} is there already: workbench trash --empty, or move it away")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.move(folder.path, target)
    return target


def restore(wanted: str) -> RunFolder:
    """Make a run of the trash a run again: `last`, an id, a name or a prefix. Raises `BadInput`."""
    found = rows()
    if not found:
        raise BadInput("the trash is empty")
    run_id = chosen(wanted, [(row.id, row.name) for row in found], "'workbench trash' lists what is there")
    target = paths.runs() / run_id
    if target.exists():
        raise BadInput(f"{target} is there already: there can't be two runs of this id")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.move(paths.trash() / run_id, target)
    return RunFolder(target)


def empty() -> tuple[int, int]:
    """Delete what lies in the trash; returns how many runs that were, and how many bytes."""
    found = list(_folders())
    taken = sum(size_of(path) for path in found)
    for path in found:
        shutil.rmtree(path)
    return len(found), taken


def _folders() -> list[Path]:
    try:
        return [path for path in paths.trash().iterdir() if path.is_dir() and not path.is_symlink()]
    except FileNotFoundError:
        return []


def _trashed(path: Path) -> Trashed:
    experiment, notes = read_json(path / "experiment.json") or {}, read_json(path / "notes.json") or {}
    name = str(notes.get("name") or experiment.get("name") or path.name)
    # A move changes nothing of a folder but this time.
    return Trashed(path.name, name, size_of(path), path.stat().st_ctime)
