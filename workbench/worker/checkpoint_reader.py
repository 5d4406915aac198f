"""Reading checkpoints: one rule for which is taken, and for what is skipped because it is damaged."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from workbench.core.errors import BadInput
from workbench.io.torch_files import load_checkpoint
from workbench.runs.checkpoint_index import read_entries
from workbench.runs.records import CheckpointEntry
from workbench.runs.run_folder import RunFolder
from workbench.worker.checkpoint_content import Check, CheckpointContent


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint that could be read, and the newer (or better) ones that could not."""

    content: CheckpointContent
    entry: CheckpointEntry
    entries: list[CheckpointEntry]
    """All of the run's, oldest first, without the skipped ones."""
    notices: tuple[str, ...] = ()
    """One line for each that was skipped, and for a manifest that was lost."""


class NoReadableCheckpoint(BadInput):
    """There are checkpoints, and none can be read; the message says why not."""


def load_entry(folder: RunFolder, entry: CheckpointEntry) -> CheckpointContent:
    """The content of one checkpoint. Raises `BadInput` where it is not what was written."""
    return cast(CheckpointContent, load_checkpoint(folder.checkpoints / entry.file, sha256=entry.sha256))


def select_checkpoint(
    folder: RunFolder, which: Literal["best", "last"] = "last", check: Check = lambda _: None
) -> LoadedCheckpoint | None:
    """The newest checkpoint that is readable and passes `check`, with `best` the best epoch's where that is one.

    `None` where none was ever written. Raises `NoReadableCheckpoint` where there are some and none can be used.
    """
    entries, notices = known_entries(folder)
    candidates = entries[::-1]
    if which == "best":
        candidates.sort(key=lambda entry: not entry.best)
    skipped: dict[CheckpointEntry, str] = {}
    for entry in candidates:
        try:
            content = load_entry(folder, entry)
            check(content)
        except BadInput as error:
            skipped[entry] = str(error).replace(f"{folder.checkpoints}/", "")
        else:
            lines = (f"skipped a checkpoint: {line}" for line in skipped.values())
            usable = [one for one in entries if one not in skipped]
            return LoadedCheckpoint(content, entry, usable, (*notices, *lines))
    if skipped or any(folder.checkpoint_files()):
        raise NoReadableCheckpoint(next(iter(skipped.values()), "all are damaged"))
    return None


def known_entries(folder: RunFolder) -> tuple[list[CheckpointEntry], list[str]]:
    """The entries of a run's checkpoints, oldest first, and a line where they had to be found without the manifest."""
    if listed := read_entries(folder):
        return listed, []
    found = found_again(folder)
    lost = f"the list of checkpoints was lost; {len(found)} were found again without it"
    return found, [lost] if found else []


def found_again(folder: RunFolder) -> list[CheckpointEntry]:
    """Entries of the checkpoints that lie in the folder, oldest first: for a manifest that is lost or damaged."""
    found = []
    for path in folder.checkpoint_files():
        try:
            found.append(_entry_of_file(path))
        except (BadInput, KeyError, OSError, TypeError, zipfile.BadZipFile):
            continue
    return sorted(found, key=lambda entry: (entry.step, entry.epoch, entry.position))


def _entry_of_file(path: Path) -> CheckpointEntry:
    with zipfile.ZipFile(path) as archive:
        if archive.testzip():  # nobody knows its hash any more; torch looks at no checksum
            raise BadInput(f"{path} is damaged")
    content = cast(CheckpointContent, load_checkpoint(path))
    best = content["best"] is not None and content["best"]["step"] == content["step"]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return entry_of(path.name, digest, content, best=best and content["position"] == 0)


def entry_of(file: str, sha256: str, content: CheckpointContent, *, best: bool) -> CheckpointEntry:
    """What the manifest says of a checkpoint."""
    return CheckpointEntry(
        file=file,
        sha256=sha256,
        step=content["step"],
        epoch=content["epoch"],
        position=content["position"],
        metrics_offset=content["wall"]["metrics_offset"],
        time=content["wall"]["time"],
        best=best,
    )
