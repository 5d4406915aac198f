"""Where each part of a run lies in its folder, and who this host is."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from workbench.core.errors import BadInput
from workbench.io.atomic_files import write_bytes, write_over
from workbench.io.disk_full import NO_ROOM, why_no_room
from workbench.io.record_codec import encode, read_record, write_record
from workbench.runs.records import Exit, Heartbeat

LARGER_DISK = "make room, or set WORKBENCH_HOME to a larger disk"
RESERVE_BYTES = 16_384
"""Enough for the end's record and its folder entry, whatever the block size."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one run; see the record's description of each in `records`."""

    path: Path

    @property
    def id(self) -> str:
        """The run's id: the folder's name."""
        return self.path.name

    @property
    def experiment(self) -> Path:
        """The resolved experiment, written once by the launcher."""
        return self.path / "experiment.json"

    @property
    def setup(self) -> Path:
        """What the experiment became: classes, counts, shape, layers."""
        return self.path / "setup.json"

    @property
    def metrics(self) -> Path:
        """Scalars by step, a JSON line each."""
        return self.path / "metrics.jsonl"

    @property
    def evaluations(self) -> Path:
        """A folder: `step-N-SPLIT.json` and `.bin`."""
        return self.path / "evaluations"

    def evaluation(self, step: int, split: str) -> Path:
        """The evaluation of a split after `step`; beside it, with the suffix `.bin`, what it says of each sample."""
        return self.evaluations / f"step-{step}-{split}.json"

    def evaluated_steps(self, split: str) -> list[int]:
        """The steps after which `split` was evaluated, by the files that are there, ascending.

        Raises `OSError` where the folder of evaluations is missing or unreadable.
        """
        pattern = re.compile(rf"step-(\d+)-{re.escape(split)}\.json")
        matches = (pattern.fullmatch(path.name) for path in self.evaluations.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    @property
    def journal(self) -> Path:
        """What happened, append-only."""
        return self.path / "journal.jsonl"

    @property
    def launch(self) -> Path:
        """The process that started the run."""
        return self.path / "launch.json"

    @property
    def control(self) -> Path:
        """A folder: requests of people, one file each."""
        return self.path / "control"

    @property
    def answered(self) -> Path:
        """A folder: requests with their answers."""
        return self.path / "control" / "done"

    @property
    def heartbeat(self) -> Path:
        """A counter that moves while the worker lives."""
        return self.path / "heartbeat.json"

    @property
    def checkpoints(self) -> Path:
        """A folder: `step-N.pt` and the manifest."""
        return self.path / "checkpoints"

    def checkpoint(self, step: int, digest: str = "") -> Path:
        """A checkpoint of `step`; `digest` tells apart several moments of one step."""
        return self.checkpoints / f"step-{step}{digest and f'-{digest[:8]}'}.pt"

    def checkpoint_files(self, *, drafts: bool = False) -> Iterator[Path]:
        """The checkpoints that are there, listed in the manifest or not; with `drafts`, unfinished ones too."""
        return self.checkpoints.glob("*step-*.pt*" if drafts else "step-*.pt")

    @property
    def manifest(self) -> Path:
        """Which checkpoints there are, with their hashes."""
        return self.path / "checkpoints" / "manifest.json"

    @property
    def log(self) -> Path:
        """The worker's stdout and stderr."""
        return self.path / "worker.log"

    @property
    def lock(self) -> Path:
        """The file whose bytes 0 (supervisor) and 1 (writer) are locked."""
        return self.path / "lock"

    @property
    def exit(self) -> Path:
        """How the newest attempt ended."""
        return self.path / "exit.json"

    @property
    def reserve(self) -> Path:
        """Room that is given up so that the end can be recorded on a full disk."""
        return self.path / "reserve"

    @property
    def notes(self) -> Path:
        """A person's name, tags and notes for it."""
        return self.path / "notes.json"


def hold_reserve(folder: RunFolder) -> None:
    """Keep a little room for the record of the end. Raises `OSError` where there is none."""
    if not folder.reserve.exists():
        write_bytes(folder.reserve, os.urandom(RESERVE_BYTES), durable=False)


def sweep(folder: RunFolder) -> None:
    """Remove temporary files that killed workers left; for the one process that writes the run."""
    for place in (folder.path, folder.checkpoints, folder.evaluations):
        for path in place.glob(".*.tmp"):
            if not path.name.startswith(f".{folder.notes.name}"):  # a person may be writing that now
                path.unlink(missing_ok=True)


def write_exit(folder: RunFolder, record: Exit) -> None:
    """Record how an attempt ended, unless a later one did already; on a full disk the reserve is given up for it."""
    known = read_record(folder.exit, Exit)
    if known is not None and known.attempt > record.attempt:
        return
    try:
        write_record(folder.exit, record)
    except OSError:
        folder.reserve.unlink(missing_ok=True)
        write_record(folder.exit, record)


def write_heartbeat(folder: RunFolder, beat: Heartbeat) -> None:
    """Rewrite the heartbeat, with the time. What can't be written is left to the next beat."""
    data = encode(msgspec.structs.replace(beat, time=round(time.time(), 3))) + b"\n"
    with contextlib.suppress(OSError):
        try:
            write_bytes(folder.heartbeat, data, durable=False)
        except (
            OSError
        ):  # a full disk has no room for a second file; the one that is there can be written over
            write_over(folder.heartbeat, data)


def create_run_folder(parent: Path, name: str) -> RunFolder:
    """A new folder `YYYYMMDD-HHMMSSffffff-NAME-xxxx`, private to the user. Raises `BadInput` where it can't be made."""
    try:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            # To the microsecond and in UTC: ids sort by their start, at the end of summer time too.
            stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S%f")
            path = parent / f"{stamp}-{name}-{secrets.token_hex(2)}"
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:
                continue
            break
        _fill(path)
    except OSError as error:
        mend = LARGER_DISK if error.errno in NO_ROOM else "set WORKBENCH_HOME to a folder you may write"
        raise BadInput(f"runs can't be kept in {parent}: {why_no_room(error, parent)}; {mend}") from None
    return RunFolder(path)


def _fill(path: Path) -> None:
    """Make the folders of a new run; where that fails, nothing of it is left. Raises `OSError`."""
    try:
        for folder in ("control", "control/done", "checkpoints", "evaluations"):
            (path / folder).mkdir(mode=0o700)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        raise
