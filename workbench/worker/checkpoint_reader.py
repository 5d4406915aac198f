"""Reading checkpoints: the one rule for which is used, and which are skipped because they are damaged."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from workbench.core.errors import UserError
from workbench.io.record_codec import decode, encode
from workbench.io.torch_files import load_checkpoint, sha256_of
from workbench.runs import upgrades
from workbench.runs.checkpoint_index import read_entries
from workbench.runs.records import CheckpointEntry
from workbench.runs.run_folder import RunFolder
from workbench.worker.checkpoint_content import CheckpointContent, ContentCheck


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A readable checkpoint, and notices about newer (or better) ones that were skipped."""

    content: CheckpointContent
    entry: CheckpointEntry
    entries: list[CheckpointEntry]
    """All entries of the run, oldest first, without the skipped ones."""
    notices: tuple[str, ...] = ()
    """One line for each skipped checkpoint, and for a lost manifest."""


class NoReadableCheckpoint(UserError):
    """There are checkpoints, but none is readable; the message is the reason."""


def load_entry(folder: RunFolder, entry: CheckpointEntry) -> CheckpointContent:
    """The content of one checkpoint. Raises `UserError` where the file is missing or corrupt."""
    return _load_content(folder.checkpoints / entry.file, entry.sha256)


def _load_content(path: Path, sha256: str | None = None) -> CheckpointContent:
    return cast(CheckpointContent, upgrades.checkpoint(load_checkpoint(path, sha256)))


def select_checkpoint(
    folder: RunFolder, which: Literal["best", "last"] = "last", check: ContentCheck = lambda _: None
) -> LoadedCheckpoint | None:
    """The newest checkpoint that is readable and passes `check`; with `which="best"`, preferably the best epoch's.

    `None` where no checkpoint was ever written. Raises `NoReadableCheckpoint` where there are some, but none is usable.
    """
    entries, notices = read_entries(folder), list[str]()
    if not entries:
        entries = rebuild_entries(folder)
        notices.append(
            "the checkpoint manifest was missing or damaged; "
            f"it was rebuilt from {len(entries)} checkpoint files"
        )
    candidates = entries[::-1]
    if which == "best":
        candidates.sort(key=lambda entry: not entry.best)
    skipped: dict[CheckpointEntry, str] = {}
    for entry in candidates:
        try:
            content = load_entry(folder, entry)
            check(content)
        except UserError as error:
            skipped[entry] = str(error).replace(f"{folder.checkpoints}/", "")
        else:
            lines = (f"skipped corrupt checkpoint: {line}" for line in skipped.values())
            usable = [entry for entry in entries if entry not in skipped]
            return LoadedCheckpoint(content, entry, usable, (*notices, *lines))
    if skipped or any(folder.checkpoint_files()):
        raise NoReadableCheckpoint(next(iter(skipped.values()), "all are corrupt"))
    return None


def rebuild_entries(folder: RunFolder) -> list[CheckpointEntry]:
    """Entries of all intact checkpoint files in the folder, oldest first: for a missing or damaged manifest."""
    entries = [entry for path in folder.checkpoint_files() if (entry := _entry_from_file(path))]
    return sorted(entries, key=lambda entry: (entry.step, entry.epoch))


def _entry_from_file(path: Path) -> CheckpointEntry | None:
    """The entry of an intact checkpoint; `None` for any other file."""
    try:
        content = _load_content(path)
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():  # its SHA-256 is lost, and torch does not verify the archive's CRC
                return None
        best = content["best"] is not None and content["best"]["step"] == content["step"]
        entry = make_entry(path.name, sha256_of(path), content, best=best and content["position"] == 0)
        return decode(encode(entry), CheckpointEntry)  # `None` where a value has another type
    except Exception:  # damaged data raises nearly any exception, of zipfile, zlib or msgspec
        return None


def make_entry(file: str, sha256: str, content: CheckpointContent, *, best: bool) -> CheckpointEntry:
    """The manifest's entry for a checkpoint."""
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
