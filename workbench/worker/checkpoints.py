"""Writing checkpoints: atomically, hashed, and listed in a manifest.

The training thread only copies the state, as of one step; a background thread checks the weights for NaN, hashes and
writes. A checkpoint counts once it and the metrics before it are on the disk and the manifest lists it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, cast

import msgspec
from torch import nn

from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.engine.host_copy import HostCopy
from workbench.engine.nan_guard import Diverged
from workbench.io.atomic_files import temp_file
from workbench.io.torch_files import save
from workbench.runs.checkpoint_index import read_entries, remove_unlisted_checkpoints, write_entries
from workbench.runs.records import CheckpointEntry
from workbench.runs.restart import restart_hint
from workbench.runs.run_folder import RunFolder
from workbench.worker.checkpoint_content import CheckpointContent, CheckpointPayload, MetricsPlace
from workbench.worker.checkpoint_reader import (
    LoadedCheckpoint,
    NoReadableCheckpoint,
    load_entry,
    make_entry,
    select_checkpoint,
)
from workbench.worker.file_sharing import FileSharing

KEEP_NEWEST = 2
"""The number of newest checkpoints that are always kept."""


class CheckpointManager:
    """Writes and reads the checkpoints of one run, in the only process that writes them.

    `files`: how other processes get those that they read, where they have copies.
    """

    def __init__(self, folder: RunFolder, files: FileSharing | None = None) -> None:
        self._folder, self._files = folder, files
        self.keep_checkpoint_every = 0
        """As `train.keep_checkpoint_every`; set later, because checkpoints are read before the settings are known."""
        folder.checkpoints.mkdir(mode=0o700, exist_ok=True)
        self.entries: list[CheckpointEntry] = read_entries(folder)
        self._host_copy = HostCopy()
        self._executor = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None
        self._unwritten: tuple[CheckpointContent, bool, Callable[[], None]] | None = None
        self.last_started = time.monotonic()
        """When the newest checkpoint was started (monotonic)."""

    @property
    def saved_at(self) -> float | None:
        """When the newest published checkpoint was taken (Unix seconds); `None` while there is none."""
        return self.entries[-1].time if self.entries else None

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._pending is not None and not self._pending.done()

    def save(
        self, content: CheckpointPayload, place: MetricsPlace, *, best: bool, sync: Callable[[], None]
    ) -> None:
        """Copy `content` as it is now and start writing it; waits for the previous checkpoint, and raises its error.

        `place`: that of the metrics at this step; `sync` makes them durable before the checkpoint is published.
        """
        self.flush()
        self.last_started = time.monotonic()
        whole: CheckpointContent = {
            **content,
            "wall": {
                "time": round(time.time(), 3),
                "metrics_offset": place.offset,
                "row_seconds": place.row_seconds,
            },
        }
        copy: CheckpointContent = self._host_copy.copy(whole)
        self._pending = self._executor.submit(self._write_or_retain, copy, best, sync)

    def flush(self) -> None:
        """Wait until everything is written, after retrying a failed write. Raises as `wait` does."""
        if self._pending is None and self._unwritten is not None:
            work, self._unwritten = self._unwritten, None
            self._pending = self._executor.submit(self._write_or_retain, *work)
        self.wait()

    def wait(self) -> None:
        """Wait for the checkpoint that is being written.

        Raises `OSError` where writing failed, `Diverged` where a weight is NaN or infinite; that checkpoint is dropped.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def close(self) -> None:
        """Wait for the checkpoint that is being written and end the thread."""
        try:
            self.wait()
        finally:
            self._executor.shutdown()

    def _write_or_retain(self, content: CheckpointContent, best: bool, sync: Callable[[], None]) -> None:
        try:
            self._write(content, best, sync)
        except OSError:
            self._unwritten = (content, best, sync)
            raise

    def _write(self, content: CheckpointContent, best: bool, sync: Callable[[], None]) -> None:
        self._host_copy.wait()
        _check_finite(content)
        with temp_file(self._folder.checkpoints, self._folder.checkpoint(content["step"]).name) as new:
            hashed = HashingWriter(new.file)
            save(content, cast(BinaryIO, hashed))
            digest = hashed.digest.hexdigest()
            sync()
            file = self._free_name(content["step"], digest)
            new.commit(self._folder.checkpoints / file)
        self._publish(make_entry(file, digest, content, best=best))

    def _free_name(self, step: int, digest: str) -> str:
        """The usual file name, or one with the digest where another checkpoint of the same step has it.

        That happens at the end of an epoch, which is evaluated without another step.
        """
        usual = self._folder.checkpoint(step).name
        taken = any(entry.file == usual for entry in self.entries)
        return self._folder.checkpoint(step, digest).name if taken else usual

    def _publish(self, new: CheckpointEntry) -> None:
        """List the new checkpoint in the manifest and delete those that are no longer retained."""
        others = [entry for entry in self.entries if entry.file != new.file]
        if new.best:
            others = [msgspec.structs.replace(entry, best=False) for entry in others]
        kept = self._retained(sorted([*others, new], key=lambda entry: entry.step))
        write_entries(self._folder, kept)
        self.entries = kept
        remove_unlisted_checkpoints(self._folder, kept)

    def _retained(self, listed: list[CheckpointEntry]) -> list[CheckpointEntry]:
        every = self.keep_checkpoint_every
        ends: dict[int, CheckpointEntry] = {}
        if every:
            ends = {e.epoch: e for e in listed if e.position == 0 and e.epoch % every == 0}
        return [e for e in listed if e.best or e in listed[-KEEP_NEWEST:] or ends.get(e.epoch) is e]

    def newest(self) -> LoadedCheckpoint | None:
        """The newest readable checkpoint; skipped ones are removed from the entries.

        `None` where none was ever written. Raises `UserError` where none of the existing ones is readable: lost
        progress must not be restarted from step 0 silently.
        """
        try:
            loaded = select_checkpoint(self._folder)
        except NoReadableCheckpoint as error:
            raise UserError(
                f"none of the run's checkpoints can be read ({error}); {restart_hint(self._folder)}"
            ) from None
        if loaded is not None:
            self.entries = loaded.entries
        return loaded

    def best(self) -> CheckpointEntry | None:
        """The entry of the best epoch, if there is one."""
        return next((entry for entry in self.entries if entry.best), None)

    def share(self, entry: CheckpointEntry) -> None:
        """Make a checkpoint readable for all processes, which call this together."""
        if self._files is not None:
            self._files.share_checkpoint(entry)

    def load(self, entry: CheckpointEntry) -> CheckpointContent:
        """The content of a checkpoint. Raises `UserError` where the file is missing or corrupt."""
        return load_entry(self._folder, entry)


def estimate_checkpoint_bytes(module: nn.Module, train: TrainingSettings) -> int:
    """The size of a checkpoint in bytes: weights, their average, those of Lookahead, and the optimizer's state."""
    moments = {"sgd": bool(train.momentum), "rmsprop": 1 + bool(train.momentum), "adagrad": 1}.get(
        train.optimizer, 2
    )
    trainable: int = sum(p.nbytes for p in module.parameters() if p.requires_grad)
    weights: int = sum(value.nbytes for value in module.state_dict().values())
    copies = 1 + bool(train.lookahead) + bool(train.ema or train.swa)
    return weights * copies + moments * trainable


class HashingWriter:
    """A file wrapper for sequential writing that computes the SHA-256 of the written bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write and hash `data`; returns the number of bytes written."""
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Flush the file's buffer."""
        self._file.flush()


def _check_finite(content: CheckpointContent) -> None:
    """Raise `Diverged` for weights that are NaN or infinite."""
    for value in content["model"].values():
        # A sum shows NaN and infinity in one pass; only a sum that overflowed needs the exact check.
        if value.is_floating_point() and not value.sum().isfinite() and not value.isfinite().all():
            raise Diverged("a weight became NaN or infinite", content["step"])
