"""Reading the next samples in a background thread while the current step computes."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from workbench.engine.data_placement import PlacedSplit

T = TypeVar("T")
R = TypeVar("R")

PREFETCH_DEPTH = 2
"""How many chunks are read in advance."""


def prefetch(read: Callable[[T], R], keys: Iterable[T]) -> Generator[R, None, None]:
    """`read(key)` for every key, in order, computed in advance by a background thread; its errors are raised here.

    The thread ends with the iteration, including one that is closed early.
    """
    remaining = iter(keys)
    with ThreadPoolExecutor(1, "read-ahead") as pool:
        in_flight: deque[Future[R]] = deque(
            pool.submit(read, key) for key in itertools.islice(remaining, PREFETCH_DEPTH)
        )
        try:
            while in_flight:
                first = in_flight.popleft()
                in_flight.extend(pool.submit(read, key) for key in itertools.islice(remaining, 1))
                yield first.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class ChunkReader:
    """Gathers raw samples: on the device for a resident split, else on the host, followed by a copy to the device."""

    def __init__(self, placed_split: PlacedSplit) -> None:
        self._split = placed_split
        self._cuda = placed_split.device.type == "cuda" and not placed_split.resident
        self._stream = torch.cuda.Stream(placed_split.device) if self._cuda else None

    def chunks(self, keys: Iterable[Tensor]) -> Generator[Tensor, None, None]:
        """Raw samples for each tensor of indices (int64, on the device of the inputs), on the compute device."""
        if self._split.resident:
            yield from map(self._split.split.gather, keys)
            return
        for raw, arrived in prefetch(self._read, keys):
            yield self._wait_for_copy(raw, arrived)

    def _read(self, indices: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        """Raw samples on the device; on CUDA the copy from pinned memory runs on a side stream until the event."""
        raw = self._gather(indices)
        if self._stream is None:
            return raw.to(self._split.device), None
        with torch.cuda.stream(self._stream):
            return raw.to(self._split.device, non_blocking=True), self._stream.record_event()

    def _gather(self, indices: Tensor) -> Tensor:
        split = self._split.split
        rows = indices if split.rows is None else split.rows[indices]
        raw = torch.empty((len(rows), *split.shape), dtype=split.inputs.dtype, pin_memory=self._cuda)
        # NumPy copies in this thread; torch would use as many threads as the step does, and compete for its cores.
        np.take(split.inputs.numpy(), rows.numpy(), axis=0, out=raw.numpy(), mode="clip")
        return raw

    def _wait_for_copy(self, raw: Tensor, arrived: torch.cuda.Event | None) -> Tensor:
        if arrived is not None:
            stream = torch.cuda.current_stream(self._split.device)
            stream.wait_event(arrived)
            # The memory belongs to the side stream, whose allocator must not reuse it while this stream reads it.
            raw.record_stream(stream)
        return raw
