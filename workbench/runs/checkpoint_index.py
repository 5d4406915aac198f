"""The checkpoints of a run, by their manifest. No checkpoint is opened here: this module needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from workbench.io.record_codec import read_record, write_record
from workbench.runs.records import CheckpointEntry, Manifest
from workbench.runs.run_folder import RunFolder


def read_entries(folder: RunFolder) -> list[CheckpointEntry]:
    """The entries of the manifest, oldest first; damaged ones and those that name other folders are left out."""
    manifest = read_record(folder.manifest, Manifest) or Manifest()
    return [entry for entry in manifest.checkpoints if _is_valid(entry)]


def _is_valid(entry: CheckpointEntry) -> bool:
    counts = (entry.step, entry.epoch, entry.position, entry.metrics_offset)
    return Path(entry.file).name == entry.file and min(counts) >= 0


def write_entries(folder: RunFolder, entries: Iterable[CheckpointEntry]) -> None:
    """Write the manifest; it is durable on return. Raises `OSError`."""
    write_record(folder.manifest, Manifest(checkpoints=tuple(entries)))


def newest_checkpoint_step(folder: RunFolder) -> int:
    """The step of the newest listed checkpoint; 0 without one."""
    entries = read_entries(folder)
    return entries[-1].step if entries else 0


def remove_unlisted_checkpoints(folder: RunFolder, entries: Iterable[CheckpointEntry]) -> None:
    """Delete all checkpoint files, including unfinished ones, that are not among `entries`."""
    names = {entry.file for entry in entries}
    for path in folder.checkpoint_files(drafts=True):
        if path.name not in names:
            path.unlink(missing_ok=True)
