"""All runs: listed, found by what a person calls them, put away. The index is a cache that may be deleted."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from workbench.config.experiment import read_experiment
from workbench.core import paths
from workbench.core.errors import BadInput
from workbench.io.atomic_files import write_bytes
from workbench.io.record_codec import read_record
from workbench.runs import trash
from workbench.runs.enums import Cause, Phase
from workbench.runs.lookup import chosen
from workbench.runs.records import Exit, Heartbeat, Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import eta
from workbench.runs.status import Status, status_of

INDEX = "index.json"


class RunSummary(msgspec.Struct, frozen=True, gc=False):
    """One row of the list of runs."""

    id: str
    name: str
    status: Status
    dataset: str = ""
    model: str = ""
    epoch: int = 0
    epochs_total: int = 0
    step: int = 0
    steps_total: int = 0
    phase: Phase | None = None
    """Of a run that goes on."""
    best: float | None = None
    """Best monitored figure."""
    best_epoch: int | None = None
    test: float | None = None
    """Newest accuracy on test data (of a regression: its loss), of a run that has no validation data and so no best."""
    monitor: str = ""
    device: str = ""
    eta: float | None = None
    """Seconds to the end, of a run that goes on."""
    reason: str = ""
    cause: Cause | None = None
    """Why the newest attempt ended."""
    tags: tuple[str, ...] = ()
    """What a person wrote on it."""
    created: float = 0.0
    changed: int = 0
    """The folder's mtime in nanoseconds."""


class _Index(msgspec.Struct):
    v: Literal[3] = 3
    """One of another version is made anew."""
    runs: dict[str, RunSummary] = {}


@dataclass
class Store:
    """The runs in one folder."""

    root: Path

    @classmethod
    def default(cls) -> Store:
        """The store in `$WORKBENCH_HOME`."""
        return cls(paths.runs())

    @property
    def home(self) -> Path:
        """The folder that holds the runs' folder, and what belongs to it."""
        return self.root.parent

    @property
    def trash(self) -> Path:
        """Where `remove` moves runs to."""
        return self.home / paths.trash().name

    def folder(self, run_id: str) -> RunFolder:
        """The folder of a run by its id."""
        return RunFolder(self.root / run_id)

    def rows(self) -> list[RunSummary]:
        """Every run, newest first. Ended runs come from the index while their folder is as it was."""
        known, rows, stale = self._index().runs, [], False
        for entry in self._entries():
            try:
                changed = entry.stat().st_mtime_ns
            except FileNotFoundError:
                continue  # it was put away a moment ago
            row = known.get(entry.name)
            if row is None or row.changed != changed:
                row = summarise(RunFolder(Path(entry.path)), changed)
                stale |= not row.status.live and row.status is not Status.UNKNOWN
            rows.append(row)
        if stale or len(known) > len(rows):
            self._save_index(rows)
        return sorted(rows, key=lambda row: row.id, reverse=True)

    def find(self, wanted: str) -> RunFolder:
        """The run that `wanted` means: `last`, an id, a name (its newest), or an unambiguous prefix."""
        ids = sorted((entry.name for entry in self._entries()), reverse=True)
        if not ids:
            raise BadInput(f"there are no runs in {self.root} (workbench train digits-mlp makes one)")
        if wanted == "last":
            return RunFolder(self.root / ids[0])
        if wanted in ids:
            return RunFolder(self.root / wanted)
        known = [(row.id, row.name) for row in self.rows()]
        return RunFolder(self.root / chosen(wanted, known, "'workbench runs' lists them"))

    def remove(self, folder: RunFolder, *, now: bool = False) -> Path | None:
        """Move an ended run to the trash (returns where it is), or delete it at once. Raises `BadInput`."""
        status = status_of(folder)
        if status.live or status is Status.UNKNOWN:
            raise BadInput(f"{folder.id} is {status}: stop it first (workbench stop {folder.id})")
        kept = trash.put(folder, self.trash)
        if not now:
            return kept
        shutil.rmtree(kept)  # from the trash: if this is cut off, no half of it is taken for a run
        return None

    def restore(self, wanted: str) -> RunFolder:
        """Move a run from the trash back: `last`, an id, a name or a prefix. Raises `BadInput`."""
        return trash.restore(wanted, self.trash, self.root)

    def _entries(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.root) as found:
                return [e for e in found if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BadInput(f"the runs in {self.root} can't be read: {error.strerror}") from None

    def _index(self) -> _Index:
        try:
            return msgspec.json.decode((self.root / INDEX).read_bytes(), type=_Index)
        except (OSError, msgspec.MsgspecError):
            return _Index()

    def _save_index(self, rows: list[RunSummary]) -> None:
        ended = {row.id: row for row in rows if not row.status.live and row.status is not Status.UNKNOWN}
        try:
            write_bytes(self.root / INDEX, msgspec.json.encode(_Index(runs=ended)), durable=False)
        except OSError:
            return  # a cache: without it the next list reads the folders again


def summarise(folder: RunFolder, changed: int) -> RunSummary:
    """The row of one run, from its short files; a damaged one has a row too."""
    experiment = read_experiment(folder.experiment)
    beat = read_record(folder.heartbeat, Heartbeat) or Heartbeat()
    ended, notes = read_record(folder.exit, Exit), read_record(folder.notes, Notes) or Notes()
    status, best, latest = status_of(folder), beat.best, beat.latest
    test = None if latest is None else latest.loss if latest.accuracy is None else latest.accuracy
    return RunSummary(
        id=folder.id,
        name=notes.name or (experiment.name if experiment else folder.id),
        status=status,
        dataset=experiment.data.name if experiment else "",
        model=experiment.model.name if experiment else "",
        epoch=beat.epoch,
        epochs_total=beat.epochs_total or (experiment.train.epochs if experiment else 0),
        step=beat.step,
        steps_total=beat.steps_total or 0,
        phase=beat.phase if status.live else None,
        best=best.value if best else None,
        test=None if best else test,
        best_epoch=best.epoch if best else None,
        monitor=best.metric if best else experiment.train.monitor if experiment else "",
        device=beat.device,
        eta=eta(beat) if status.live else None,
        reason=ended.reason or "" if ended and not (status.live or status is Status.LOST) else "",
        cause=ended.cause if ended and not status.live else None,
        tags=notes.tags,
        created=_created(folder),
        changed=changed,
    )


def _created(folder: RunFolder) -> float:
    try:
        return folder.experiment.stat().st_mtime
    except OSError:
        return 0.0
