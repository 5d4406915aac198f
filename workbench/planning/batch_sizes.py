"""Batch sizes that were tried: which fit, and how fast they are."""

from __future__ import annotations

import msgspec


class TriedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch size that was tried."""

    batch_size: int
    fits: bool
    samples_per_second: float | None = None
    """Throughput of training; `None` where it does not fit, or the loss becomes infinite at its learning rate."""
    memory: int | None = None
    """Peak memory in bytes: of the GPU, or of the process; `None` where it is not known."""
    reason: str = ""
    """Why it does not fit."""


class BatchSizes(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a search for the largest batch size."""

    device: str
    tried: tuple[TriedBatch, ...]
    """By batch size."""
    limit: str = ""
    """What ended the search, where memory did not."""
    notices: tuple[str, ...] = ()

    @property
    def largest(self) -> TriedBatch | None:
        """The largest that fits; `None` where not even one sample does."""
        return max((row for row in self.tried if row.fits), key=lambda row: row.batch_size, default=None)

    @property
    def fastest(self) -> TriedBatch | None:
        """That of the highest throughput."""
        fitting = [row for row in self.tried if row.fits]
        return max(fitting, key=lambda row: row.samples_per_second or 0.0, default=None)
