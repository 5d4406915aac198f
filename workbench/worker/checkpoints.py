"""Checkpoints: a moment of a run in one file, never half written, hashed, and listed in a manifest.

A checkpoint is copied from the model in the training thread (one moment); all else is done by a thread of its own:
it looks whether the weights are numbers, hashes and writes. A checkpoint counts only once it and the metrics before
it are on the disk and the manifest names it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, cast

import msgspec
from torch import nn

from workbench.config.training_settings import Train
from workbench.core.errors import BadInput
from workbench.engine.host_copy import Copies
from workbench.engine.nan_guard import Diverged
from workbench.io.atomic_files import draft
from workbench.io.torch_files import save
from workbench.runs.checkpoint_index import read_entries, remove_others, write_entries
from workbench.runs.records import CheckpointEntry
from workbench.runs.restart import how_to
from workbench.runs.run_folder import RunFolder
from workbench.worker.checkpoint_content import CheckpointContent, Moment
from workbench.worker.checkpoint_reader import (
    LoadedCheckpoint,
    NoReadableCheckpoint,
    entry_of,
    load_entry,
    select_checkpoint,
)

KEPT = 2
"""The newest ones that are kept whatever else is."""


class Checkpoints:
    """The checkpoints of one run, for the one process that writes them."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.keep_every = 0
        """Epochs of which one is kept for good, as `train.keep_every`: it is read before the settings are known."""
        folder.checkpoints.mkdir(mode=0o700, exist_ok=True)
        self.entries: list[CheckpointEntry] = read_entries(folder)
        self._copies = Copies()
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None
        self._unwritten: tuple[CheckpointContent, bool, Callable[[], None]] | None = None
        self.time = time.monotonic()
        """When the newest one was begun (monotonic)."""

    @property
    def saved_at(self) -> float | None:
        """When the newest published one was taken (Unix seconds); `None` while there is none."""
        return self.entries[-1].time if self.entries else None

    @property
    def busy(self) -> bool:
        """Whether one is being written."""
        return self._pending is not None and not self._pending.done()

    def save(self, content: Moment, *, offset: int, best: bool, sync: Callable[[], None]) -> None:
        """Copy `content` as it is now and begin to write it; waits for the one before, and raises its error.

        `offset`: the length of the metrics at its moment; `sync` makes them durable before it is published.
        """
        self.settle()
        self.time = time.monotonic()
        whole: CheckpointContent = {
            **content,
            "wall": {"time": round(time.time(), 3), "metrics_offset": offset},
        }
        copy: CheckpointContent = self._copies.take(whole)
        self._pending = self._thread.submit(self._work, copy, best, sync)

    def settle(self) -> None:
        """Return when all that was begun is written; what failed before is tried again. Raises as `wait` does."""
        if self._pending is None and self._unwritten is not None:
            work, self._unwritten = self._unwritten, None
            self._pending = self._thread.submit(self._work, *work)
        self.wait()

    def wait(self) -> None:
        """Return when nothing is being written any more.

        Raises `OSError` where that failed, `Diverged` where a weight is no number: such a moment is not kept.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def close(self) -> None:
        """Finish what is being written and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def _work(self, content: CheckpointContent, best: bool, sync: Callable[[], None]) -> None:
        try:
            self._write(content, best, sync)
        except OSError:
            self._unwritten = (content, best, sync)
            raise

    def _write(self, content: CheckpointContent, best: bool, sync: Callable[[], None]) -> None:
        self._copies.wait()
        _check_numbers(content)
        with draft(self._folder.checkpoints, self._folder.checkpoint(content["step"]).name) as new:
            hashed = Hashed(new.file)
            save(content, cast(BinaryIO, hashed))
            digest = hashed.digest.hexdigest()
            sync()
            file = self._free_name(content["step"], digest)
            new.put(self._folder.checkpoints / file)
        self._publish(entry_of(file, digest, content, best=best))

    def _free_name(self, step: int, digest: str) -> str:
        """The usual name, or one of its own where another moment of the same step has that (the end of an epoch)."""
        usual = self._folder.checkpoint(step).name
        taken = any(entry.file == usual for entry in self.entries)
        return self._folder.checkpoint(step, digest).name if taken else usual

    def _publish(self, new: CheckpointEntry) -> None:
        """Name the new one in the manifest and remove what is no longer kept."""
        others = [entry for entry in self.entries if entry.file != new.file]
        if new.best:
            others = [msgspec.structs.replace(entry, best=False) for entry in others]
        kept = self._kept(sorted([*others, new], key=lambda entry: entry.step))
        write_entries(self._folder, kept)
        self.entries = kept
        remove_others(self._folder, kept)

    def _kept(self, listed: list[CheckpointEntry]) -> list[CheckpointEntry]:
        every = self.keep_every
        ends: dict[int, CheckpointEntry] = {}
        if every:
            ends = {e.epoch: e for e in listed if e.position == 0 and e.epoch % every == 0}
        return [e for e in listed if e.best or e in listed[-KEPT:] or ends.get(e.epoch) is e]

    def newest(self) -> LoadedCheckpoint | None:
        """The newest checkpoint that is readable; those that were skipped are taken off the list.

        `None` where none was ever written. Raises `BadInput` where there are some and none can be read: work that is
        lost is not restarted without a word.
        """
        try:
            loaded = select_checkpoint(self._folder)
        except NoReadableCheckpoint as error:
            raise BadInput(
                f"none of the run's checkpoints can be read ({error}); {how_to(self._folder)}"
            ) from None
        if loaded is not None:
            self.entries = loaded.entries
        return loaded

    def best(self) -> CheckpointEntry | None:
        """The entry of the best epoch, where one is known."""
        return next((entry for entry in self.entries if entry.best), None)

    def load(self, entry: CheckpointEntry) -> CheckpointContent:
        """The content of one. Raises `BadInput` where it is not what was written."""
        return load_entry(self._folder, entry)


def checkpoint_bytes(module: nn.Module, train: Train) -> int:
    """How large a checkpoint will be: weights, their slow ones, and what the optimizer remembers of each."""
    moments = {"sgd": bool(train.momentum), "rmsprop": 1 + bool(train.momentum)}.get(train.optimizer, 2)
    learned = sum(p.nbytes for p in module.parameters() if p.requires_grad)
    weights = sum(value.nbytes for value in module.state_dict().values())
    return weights * (2 if train.lookahead else 1) + moments * learned


class Hashed:
    """A file that is written from its beginning to its end, with the SHA-256 of what went into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write `data`, all of it."""
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Hand everything to the system."""
        self._file.flush()


def _check_numbers(content: CheckpointContent) -> None:
    """Raise `Diverged` for weights that are NaN or infinite."""
    for value in content["model"].values():
        # A sum is one pass and shows both; only one that overflows needs a closer look.
        if value.is_floating_point() and not value.sum().isfinite() and not value.isfinite().all():
            raise Diverged("a weight became NaN or infinite", content["step"])
