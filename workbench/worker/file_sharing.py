"""The files of a run on nodes with a home of their own: copies of what the writer has, sent through the group."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import BinaryIO

import torch

from workbench.engine.process_group import ProcessGroup
from workbench.runs.checkpoint_index import read_entries
from workbench.runs.records import CheckpointEntry
from workbench.worker.context import Context

CHUNK_BYTES = 32 << 20
MISSING = -1


class FileSharing:
    """Copies files of the run to the nodes that need copies. All processes call each method together."""

    def __init__(self, context: Context, group: ProcessGroup) -> None:
        membership = context.membership
        self._folder, self._group = context.folder, group
        self._has_copy = membership is not None and membership.has_copy
        spans = membership is not None and membership.spans_nodes
        self._is_needed = spans and any(group.gather(self._has_copy))

    def share_start(self) -> None:
        """Copy what a process reads before its first step: the record of the run, and the newest checkpoint."""
        folder = self._folder
        for path in (folder.experiment, folder.data_location, folder.setup, folder.journal, folder.metrics,
                     folder.manifest):  # fmt: skip
            self._share(path)
        if self._is_needed and (entries := read_entries(folder)):
            self.share_checkpoint(entries[-1])

    def share_checkpoint(self, entry: CheckpointEntry) -> None:
        """Copy a checkpoint, which is read next."""
        self._share(self._folder.checkpoints / entry.file)

    def _share(self, path: Path) -> None:
        if not self._is_needed:
            return
        size = self._group.broadcast(_size(path) if self._group.is_writer else None, int)
        writes = self._has_copy and self._group.local_rank == 0
        if size == MISSING:
            if writes:
                path.unlink(missing_ok=True)
        else:
            self._copy(path, size, writes=writes)
        self._group.barrier()

    def _copy(self, path: Path, size: int, *, writes: bool) -> None:
        with contextlib.ExitStack() as stack:
            file: BinaryIO | None = None
            if self._group.is_writer:
                file = stack.enter_context(path.open("rb"))
            elif writes:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                file = stack.enter_context(path.open("wb"))
            for start in range(0, size, CHUNK_BYTES):
                data = bytearray(min(CHUNK_BYTES, size - start))
                if file is not None and self._group.is_writer:
                    data[:] = file.read(len(data))
                chunk = torch.frombuffer(data, dtype=torch.uint8)
                self._group.broadcast_tensors([chunk])
                if file is not None and writes:
                    file.write(data)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return MISSING
