"""Which checkpoint is used, which are skipped and why, and how a lost manifest is rebuilt from the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from workbench.core.errors import UserError
from workbench.io.atomic_files import temp_file
from workbench.io.torch_files import sha256_of
from workbench.runs.checkpoint_index import (
    newest_checkpoint_step,
    read_entries,
    remove_unlisted_checkpoints,
    write_entries,
)
from workbench.runs.records import CheckpointEntry
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.worker.checkpoint_reader import NoReadableCheckpoint, rebuild_entries, select_checkpoint


@pytest.fixture
def folder(home: Path) -> RunFolder:
    return create_run_folder(home / "runs", "run")


def content(step: int, /, **changed: Any) -> dict[str, Any]:
    """What a reader looks at of a checkpoint's content."""
    return {
        "model": {"w": torch.full((64,), float(step))},
        "step": step,
        "epoch": step // 10,
        "position": 0,
        "best": None,
        "wall": {"time": 1000.0 + step, "metrics_offset": 7 * step},
        **changed,
    }


def write(folder: RunFolder, *contents: dict[str, Any]) -> list[CheckpointEntry]:
    """Write checkpoints without a manifest; returns the entries that rebuilding it must give."""
    entries = []
    for values in contents:
        path = folder.checkpoint(values["step"], "" if values["position"] == 0 else "digest")
        torch.save(values, path)
        entries.append(
            CheckpointEntry(
                file=path.name,
                sha256=sha256_of(path),
                step=values["step"],
                epoch=values["epoch"],
                position=values["position"],
                metrics_offset=values["wall"]["metrics_offset"],
                time=values["wall"]["time"],
            )
        )
    return entries


def test_a_rebuilt_manifest_lists_the_oldest_first(folder: RunFolder) -> None:
    steps = [13, 11, 17, 10, 16, 12, 18, 14]  # of one epoch, and in no order that a directory may have
    written = write(
        folder,
        *(content(step, position=step) for step in steps),
        *(content(20, position=position, epoch=epoch) for epoch, position in ((2, 0), (1, 10))),
    )
    assert rebuild_entries(folder) == sorted(written, key=lambda entry: (entry.step, entry.epoch))


def test_a_rebuilt_manifest_marks_the_weights_of_the_best_epoch(folder: RunFolder) -> None:
    write(
        folder,
        content(10, best={"step": 10}),
        content(20, best={"step": 20}),
        content(20, best={"step": 20}, position=3),  # after the evaluation, with another state of the data
        content(30, best={"step": 20}),
    )
    best = [entry.file for entry in rebuild_entries(folder) if entry.best]
    assert best == ["step-10.pt", "step-20.pt"]


def flip_a_bit_of_a_weight(path: Path) -> None:
    data = path.read_bytes()
    at = data.index(torch.full((64,), 20.0).numpy().tobytes())
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def flip_a_bit_of_a_name(path: Path) -> None:
    """Torch still finds the part; zipfile can't decode its name."""
    data = path.read_bytes()
    at = data.rindex(b"byteorder")
    path.write_bytes(data[:at] + bytes([data[at] ^ 0x80]) + data[at + 1 :])


NOT_INTACT: dict[str, Callable[[Path], object]] = {
    "a flipped bit": flip_a_bit_of_a_weight,
    "a flipped bit in the name of a part": flip_a_bit_of_a_name,
    "text": lambda path: path.write_text("no checkpoint"),
    "the legacy format": lambda path: torch.save(content(20), path, _use_new_zipfile_serialization=False),
    "weights alone": lambda path: torch.save({"w": torch.zeros(1)}, path),
    "a best epoch that is a number": lambda path: torch.save(content(20, best=3), path),
    "a step that is text": lambda path: torch.save(content(20, step="twenty"), path),
    "a step that is a tensor": lambda path: torch.save(content(20, step=torch.zeros(3)), path),
    "a step that is a list": lambda path: torch.save(content(20, step=[]), path),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("spoil", NOT_INTACT.values(), ids=NOT_INTACT)
def test_a_file_that_is_not_intact_is_left_out_of_a_rebuilt_manifest(
    folder: RunFolder, spoil: Callable[[Path], object]
) -> None:
    before, _, after = write(folder, content(10), content(20), content(30))
    spoil(folder.checkpoint(20))
    assert rebuild_entries(folder) == [before, after]


def listed(folder: RunFolder, *steps: int, best: int | None = None) -> list[CheckpointEntry]:
    """Checkpoints with a manifest."""
    entries = [
        msgspec.structs.replace(entry, best=entry.step == best)
        for entry in write(folder, *map(content, steps))
    ]
    write_entries(folder, entries)
    return entries


def test_the_newest_or_the_best_checkpoint_is_selected(folder: RunFolder) -> None:
    assert select_checkpoint(folder) is None
    entries = listed(folder, 10, 20, 30, best=20)
    newest, best = select_checkpoint(folder), select_checkpoint(folder, "best")
    assert newest is not None and best is not None
    assert (newest.content["step"], newest.entry, newest.entries, newest.notices) == (
        30,
        entries[2],
        entries,
        (),
    )
    assert (best.content["step"], best.entry, best.entries, best.notices) == (20, entries[1], entries, ())
    folder.checkpoint(20).unlink()
    without_best = select_checkpoint(folder, "best")
    assert without_best is not None and without_best.entry == entries[2]


def test_a_skipped_checkpoint_is_reported_by_its_name(folder: RunFolder) -> None:
    """The newest is damaged, and the one before does not pass the caller's check."""
    entries = listed(folder, 10, 20, 30)
    folder.checkpoint(30).write_bytes(folder.checkpoint(20).read_bytes())  # intact, but not what was saved

    def check(values: Any) -> None:
        if values["step"] == 20:
            raise UserError("the checkpoint has no model weights")

    selected = select_checkpoint(folder, check=check)
    assert selected is not None and selected.entry == entries[0] and selected.entries == entries[:1]
    assert selected.notices == (
        "skipped corrupt checkpoint: step-30.pt is corrupt (SHA-256 mismatch)",
        "skipped corrupt checkpoint: the checkpoint has no model weights",
    )


def test_without_a_readable_checkpoint_the_reason_is_given(folder: RunFolder) -> None:
    listed(folder, 10, 20)
    for step in (10, 20):
        folder.checkpoint(step).unlink()
    with pytest.raises(NoReadableCheckpoint, match=r"^step-20\.pt "):
        select_checkpoint(folder)
    folder.manifest.unlink()
    assert select_checkpoint(folder) is None
    folder.checkpoint(10).write_bytes(b"")
    with pytest.raises(NoReadableCheckpoint, match=r"^all are corrupt$"):
        select_checkpoint(folder)


def test_the_newest_step_is_that_of_the_last_entry(folder: RunFolder) -> None:
    assert newest_checkpoint_step(folder) == 0
    listed(folder, 10, 20, 30)
    assert newest_checkpoint_step(folder) == 30


def test_unlisted_checkpoints_and_drafts_are_removed(folder: RunFolder) -> None:
    entries = listed(folder, 10, 20)
    with temp_file(folder.checkpoints, folder.checkpoint(30).name):
        remove_unlisted_checkpoints(folder, entries[1:])
        names = {path.name for path in folder.checkpoints.iterdir()}
    assert names == {"step-20.pt", "manifest.json"}
    assert read_entries(folder) == entries
