"""Where runs are put before they are gone for good, and how they come back.

`place` is the folder of the trash: `Store.trash`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from workbench.config.experiment import read_experiment
from workbench.core.errors import BadInput
from workbench.io.file_cache import size_of
from workbench.io.record_codec import read_record
from workbench.runs.lookup import chosen
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder


class Trashed(NamedTuple):
    """A run in the trash."""

    id: str
    name: str
    bytes: int
    put_away: float
    """When, as a time since the epoch."""


def rows(place: Path) -> list[Trashed]:
    """What lies in the trash, what was put there last first."""
    found = [_trashed(path) for path in _folders(place)]
    return sorted(found, key=lambda row: row.put_away, reverse=True)


def put(folder: RunFolder, place: Path) -> Path:
    """Move a run's folder to the trash; returns where it is. Raises `BadInput`."""
    target = place / folder.id
    if target.exists():
        raise BadInput(f"{target} is there already: workbench trash --empty, or move it away")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.move(folder.path, target)
    return target


def restore(wanted: str, place: Path, runs: Path) -> RunFolder:
    """Move a run of the trash (`last`, an id, a name or a prefix) back to the folder `runs`. Raises `BadInput`."""
    found = rows(place)
    if not found:
        raise BadInput("the trash is empty")
    run_id = chosen(wanted, [(row.id, row.name) for row in found], "'workbench trash' lists what is there")
    target = runs / run_id
    if target.exists():
        raise BadInput(f"{target} is there already: there can't be two runs of this id")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.move(place / run_id, target)
    return RunFolder(target)


def empty(place: Path) -> tuple[int, int]:
    """Delete what lies in the trash; returns how many runs that were, and how many bytes."""
    found = list(_folders(place))
    taken = sum(size_of(path) for path in found)
    for path in found:
        shutil.rmtree(path)
    return len(found), taken


def _folders(place: Path) -> list[Path]:
    try:
        return [path for path in place.iterdir() if path.is_dir() and not path.is_symlink()]
    except FileNotFoundError:
        return []


def _trashed(path: Path) -> Trashed:
    folder = RunFolder(path)
    experiment, notes = read_experiment(folder.experiment), read_record(folder.notes, Notes) or Notes()
    name = notes.name or (experiment.name if experiment else path.name)
    # A move changes nothing of a folder but this time.
    return Trashed(path.name, name, size_of(path), path.stat().st_ctime)
