"""The trash: runs and sweeps that were removed, until they are restored or deleted.

`trash` is its folder: `Store.trash`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from workbench.core import paths
from workbench.core.errors import UserError
from workbench.io.disk_usage import disk_usage
from workbench.io.record_codec import read_record
from workbench.runs.lookup import resolve_run_id
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import read_description

SWEEP_FILE = "sweep.json"
"""What a sweep has in its folder, and a run has not."""


class TrashedRun(NamedTuple):
    """A run in the trash, or a sweep."""

    id: str
    name: str
    bytes: int
    trashed_at: float
    """Unix seconds."""


def list_trash(trash: Path) -> list[TrashedRun]:
    """The runs in the trash, the most recently removed first."""
    runs = [_read_trashed_run(path) for path in _folders(trash)]
    return sorted(runs, key=lambda run: run.trashed_at, reverse=True)


def move_to_trash(path: Path, trash: Path) -> Path:
    """Move the folder of a run or a sweep to the trash; returns its new path. Raises `UserError`."""
    target = trash / path.name
    if not path.exists():
        place = "is already in the trash" if target.exists() else "no longer exists"
        raise UserError(f"{path.name} {place}")
    if target.exists():
        raise UserError(f"{target} already exists: empty the trash (workbench trash --empty) or move it away")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.move(path, target)
    return target


def restore_run(query: str, trash: Path, runs: Path) -> RunFolder:
    """Move a run (`last`, an id, a name or a prefix) from the trash back to the folder `runs`, or a sweep beside it.

    Raises `UserError`.
    """
    trashed = list_trash(trash)
    if not trashed:
        raise UserError("the trash is empty")
    run_id = resolve_run_id(
        query, [(run.id, run.name) for run in trashed], "'workbench trash' lists its runs"
    )
    is_sweep = (trash / run_id / SWEEP_FILE).exists()
    target = (runs.parent / paths.sweeps().name if is_sweep else runs) / run_id
    if target.exists():
        raise UserError(f"{target} already exists: two runs, or two sweeps, can't have the same name")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.move(trash / run_id, target)
    return RunFolder(target)


def empty_trash(trash: Path) -> tuple[int, int]:
    """Delete all that is in the trash; returns how much that is, and its size in bytes."""
    folders = _folders(trash)
    size = sum(disk_usage(path) for path in folders)
    for path in folders:
        shutil.rmtree(path)
    return len(folders), size


def _folders(trash: Path) -> list[Path]:
    try:
        return [path for path in trash.iterdir() if path.is_dir() and not path.is_symlink()]
    except FileNotFoundError:
        return []


def _read_trashed_run(path: Path) -> TrashedRun:
    if (path / SWEEP_FILE).exists():
        return TrashedRun(path.name, f"sweep {path.name}", disk_usage(path), path.stat().st_ctime)
    folder = RunFolder(path)
    described, notes = read_description(folder.experiment), read_record(folder.notes, Notes) or Notes()
    name = notes.name or (described.name if described else path.name)
    # The move to the trash sets the folder's status change time.
    return TrashedRun(path.name, name, disk_usage(path), path.stat().st_ctime)
