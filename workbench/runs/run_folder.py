"""The files of a run folder, its creation, and the writing of heartbeat and exit record."""

from __future__ import annotations

import contextlib
import errno
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

from workbench.config import data_location
from workbench.core.errors import UserError
from workbench.io.atomic_files import overwrite_in_place, write_bytes
from workbench.io.disk_full import DISK_FULL_ERRNOS, describe_disk_error
from workbench.io.record_codec import encode, read_record, write_record
from workbench.runs.records import Exit, Heartbeat

FREE_SPACE_HINT = "free some disk space, or set WORKBENCH_HOME to a folder on a larger disk"
RESERVE_BYTES = 16_384
"""Enough for the exit record and its folder entry, whatever the block size."""


@dataclass(frozen=True)
class RunFolder:
    """The paths of the files of one run; `records`, `journal` and `metrics` define their contents."""

    path: Path

    @property
    def id(self) -> str:
        """The run's id: the folder's name."""
        return self.path.name

    @property
    def experiment(self) -> Path:
        """The experiment with all settings, the command of a script, or the place of a log; written once."""
        return self.path / "experiment.json"

    @property
    def config(self) -> Path:
        """The settings that a script reports."""
        return self.path / "config.json"

    @property
    def setup(self) -> Path:
        """Data, model and execution of the run: classes, counts, shape, layers, device."""
        return self.path / "setup.json"

    @property
    def data_files(self) -> Path:
        """The hashes of the image files that the run was trained on."""
        return self.path / "data-files.json"

    @property
    def metrics(self) -> Path:
        """Metrics by step, one JSON line each."""
        return self.path / "metrics.jsonl"

    @property
    def evaluations(self) -> Path:
        """A folder: `step-N-SPLIT.json` and `.bin`."""
        return self.path / "evaluations"

    @property
    def images(self) -> Path:
        """A folder: the images that a script logs, `NAME/step-N.png`."""
        return self.path / "images"

    @property
    def found_logs(self) -> Path:
        """The logs that a script was found to write by itself."""
        return self.path / "logs.json"

    def source_diff(self, attempt: int) -> Path:
        """How the user's code differed from its git commit when an attempt started."""
        return self.path / f"source-{attempt}.diff"

    def evaluation(self, step: int, split: str) -> Path:
        """The evaluation of a split after `step`; its predictions have the same name with the suffix `.bin`."""
        return self.evaluations / f"step-{step}-{split}.json"

    def evaluated_steps(self, split: str) -> list[int]:
        """The steps with an evaluation file of `split`, ascending.

        Raises `OSError` where the folder of evaluations is missing or unreadable.
        """
        pattern = re.compile(rf"step-(\d+)-{re.escape(split)}\.json")
        matches = (pattern.fullmatch(path.name) for path in self.evaluations.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    @property
    def journal(self) -> Path:
        """The events of the run, append-only."""
        return self.path / "journal.jsonl"

    @property
    def launch(self) -> Path:
        """The process that started the run."""
        return self.path / "launch.json"

    @property
    def control(self) -> Path:
        """A folder: pending requests, one file each."""
        return self.path / "control"

    @property
    def answered_requests(self) -> Path:
        """A folder: answered requests."""
        return self.path / "control" / "done"

    @property
    def heartbeat(self) -> Path:
        """The state of the worker, rewritten every few seconds."""
        return self.path / "heartbeat.json"

    @property
    def checkpoints(self) -> Path:
        """A folder: `step-N.pt` and the manifest."""
        return self.path / "checkpoints"

    def checkpoint(self, step: int, digest: str = "") -> Path:
        """A checkpoint of `step`; `digest` distinguishes several checkpoints of one step."""
        return self.checkpoints / f"step-{step}{digest and f'-{digest[:8]}'}.pt"

    def checkpoint_files(self, *, drafts: bool = False) -> Iterator[Path]:
        """All checkpoint files, listed in the manifest or not; with `drafts`, unfinished ones too."""
        return self.checkpoints.glob("*step-*.pt*" if drafts else "step-*.pt")

    @property
    def manifest(self) -> Path:
        """The list of checkpoints, with their hashes."""
        return self.path / "checkpoints" / "manifest.json"

    @property
    def log(self) -> Path:
        """The stdout and stderr of the worker, or of a script."""
        return self.path / "worker.log"

    def rank_log(self, rank: int) -> Path:
        """The stdout and stderr of a process that trains the run together with that of `log`, which is rank 0."""
        return self.path / f"worker.rank{rank}.log"

    def rank_exit(self, rank: int) -> Path:
        """Why such a process failed by itself, in its newest attempt that did."""
        return self.path / f"exit.rank{rank}.json"

    @property
    def earlier_log(self) -> Path:
        """What was written before `log`, if a script has written much."""
        return self.path / "worker.log.1"

    @property
    def lock(self) -> Path:
        """The file whose bytes 0 (supervisor) and 1 (writer) are locked."""
        return self.path / "lock"

    @property
    def ticket(self) -> Path:
        """Its ticket in the queue, while it waits for its turn; outside of the folder."""
        return self.path.parent.parent / "queue" / f"{self.id}.json"

    @property
    def slurm(self) -> Path:
        """The Slurm job that the run was last submitted as."""
        return self.path / "slurm.json"

    @property
    def slurm_script(self) -> Path:
        """The batch script that Slurm runs; people may replace it."""
        return self.path / "slurm.sh"

    @property
    def slurm_log(self) -> Path:
        """The output of that script, without that of the worker."""
        return self.path / "slurm.log"

    @property
    def placement(self) -> Path:
        """On how many nodes the run trains, and where they meet; written at each start on several."""
        return self.path / "placement.json"

    @property
    def nodes(self) -> Path:
        """Its nodes and their load, rewritten every few seconds."""
        return self.path / "nodes.json"

    @property
    def exit(self) -> Path:
        """How the newest attempt ended."""
        return self.path / "exit.json"

    @property
    def reserve(self) -> Path:
        """Reserved disk space, freed to write the exit record on a full disk."""
        return self.path / "reserve"

    @property
    def data_location(self) -> Path:
        """Where the dataset is now, if the user gave a new location."""
        return self.path / data_location.FILE_NAME

    @property
    def notes(self) -> Path:
        """The user's name, tags and notes for the run."""
        return self.path / "notes.json"


def allocate_reserve(folder: RunFolder) -> None:
    """Reserve disk space for the exit record. Raises `OSError` on a full disk."""
    if not folder.reserve.exists():
        write_bytes(folder.reserve, os.urandom(RESERVE_BYTES), durable=False)


def remove_temporary_files(folder: RunFolder) -> None:
    """Remove temporary files of killed workers; only for the process that holds the writer's lock."""
    for parent in (folder.path, folder.checkpoints, folder.evaluations):
        for path in parent.glob(".*.tmp"):
            if not path.name.startswith(f".{folder.notes.name}"):  # the user may be saving notes right now
                path.unlink(missing_ok=True)


def write_exit(folder: RunFolder, record: Exit) -> None:
    """Write the exit record, unless a later attempt has one. On a full disk it uses the reserve. Raises `OSError`."""
    existing = read_record(folder.exit, Exit)
    if existing is not None and existing.attempt > record.attempt:
        return
    try:
        write_record(folder.exit, record)
    except OSError:
        folder.reserve.unlink(missing_ok=True)
        write_record(folder.exit, record)


def write_heartbeat(folder: RunFolder, beat: Heartbeat) -> None:
    """Rewrite the heartbeat with the current time. Errors are ignored: the next heartbeat follows soon."""
    data = encode(msgspec.structs.replace(beat, time=round(time.time(), 3))) + b"\n"
    with contextlib.suppress(OSError):
        try:
            write_bytes(folder.heartbeat, data, durable=False)
        except OSError:
            # A full disk has no space for a temporary file, but the existing one can be overwritten.
            overwrite_in_place(folder.heartbeat, data)


def create_run_folder(parent: Path, name: str) -> RunFolder:
    """Create a folder `YYYYMMDD-HHMMSSffffff-NAME-xxxx`, private to the user. Raises `UserError`."""
    try:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            # Microseconds and UTC: ids sort by start time, even when daylight saving time ends.
            stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S%f")
            path = parent / f"{stamp}-{name}-{secrets.token_hex(2)}"
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:
                continue
            break
        _create_subfolders(path)
    except OSError as error:
        reason = f"{describe_disk_error(error, parent)}; {storage_hint(error)}"
        raise UserError(f"runs can't be kept in {parent}: {reason}") from None
    return RunFolder(path)


def storage_hint(error: OSError) -> str:
    """What to do about an error of writing to the folder of all runs."""
    full = error.errno in DISK_FULL_ERRNOS and error.errno != errno.EROFS
    return FREE_SPACE_HINT if full else "set WORKBENCH_HOME to a folder you may write"


def _create_subfolders(path: Path) -> None:
    """Create the subfolders of a new run, or remove its folder where that fails. Raises `OSError`."""
    try:
        for folder in ("control", "control/done", "checkpoints", "evaluations"):
            (path / folder).mkdir(mode=0o700)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        raise


def check_owner(folder: RunFolder) -> None:
    """Raise `UserError` for a run of another user, or one with a world-writable folder: these are read-only."""
    status = folder.path.stat()
    if status.st_uid != os.geteuid():
        raise UserError(f"{folder.id} belongs to another user and is read-only")
    if status.st_mode & 0o002:
        raise UserError(
            f"{folder.path} is world-writable, so the run is read-only: restrict it first (chmod 700)"
        )
