"""All runs: listed, found by what a person calls them, put away. The index is a cache that may be deleted."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from workbench import paths
from workbench.errors import BadInput
from workbench.io.atomic import read_json, write_bytes
from workbench.runs import trash
from workbench.runs.finding import chosen
from workbench.runs.layout import RunFolder
from workbench.runs.records import number
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
    phase: str = ""
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
    tags: tuple[str, ...] = ()
    """What a person wrote on it."""
    created: float = 0.0
    changed: int = 0
    """The folder's mtime in nanoseconds."""


class _Index(msgspec.Struct):
    v: Literal[2] = 2
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
        kept = trash.put(folder)
        if not now:
            return kept
        shutil.rmtree(kept)  # from the trash: if this is cut off, no half of it is taken for a run
        return None

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
    try:
        return _summary(folder, changed)
    except (TypeError, ValueError, AttributeError):
        return RunSummary(
            folder.id, folder.id, Status.UNKNOWN, reason="its files can't be read", changed=changed
        )


def _summary(folder: RunFolder, changed: int) -> RunSummary:
    experiment, beat = read_json(folder.experiment) or {}, read_json(folder.heartbeat) or {}
    ended, notes = read_json(folder.exit) or {}, read_json(folder.notes) or {}
    status = status_of(folder)
    train, best = experiment.get("train") or {}, beat.get("best") or {}
    return RunSummary(
        id=folder.id,
        name=str(notes.get("name") or experiment.get("name") or folder.id),
        status=status,
        dataset=_name(experiment, "data"),
        model=_name(experiment, "model"),
        epoch=int(beat.get("epoch") or 0),
        epochs_total=int(beat.get("epochs_total") or train.get("epochs") or 0),
        step=int(beat.get("step") or 0),
        steps_total=int(beat.get("steps_total") or 0),
        phase=str(beat.get("phase") or "") if status.live else "",
        best=number(best.get("value")),
        test=None if best else _newest_test(beat.get("latest") or {}),
        best_epoch=best.get("epoch"),
        monitor=str(best.get("metric") or train.get("monitor") or ""),
        device=str(beat.get("device") or ""),
        eta=number(beat.get("eta")) if status.live else None,
        reason=_reason(status, ended),
        tags=tuple(map(str, notes.get("tags") or ())),
        created=_created(folder),
        changed=changed,
    )


def _name(experiment: dict[str, Any], section: str) -> str:
    return str((experiment.get(section) or {}).get("name") or "")


def _newest_test(latest: dict[str, Any]) -> float | None:
    return number(latest.get("accuracy", latest.get("loss")))


def _reason(status: Status, ended: dict[str, Any]) -> str:
    return "" if status.live or status is Status.LOST else str(ended.get("reason") or "")


def _created(folder: RunFolder) -> float:
    try:
        return folder.experiment.stat().st_mtime
    except OSError:
        return 0.0
