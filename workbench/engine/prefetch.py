"""What comes next, made ready by a thread of its own while the step before computes."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from workbench.engine.data_placement import Source

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2
"""How many chunks are read before they are wanted."""


def ahead(read: Callable[[T], R], keys: Iterable[T]) -> Generator[R, None, None]:
    """`read` of every key, in order, in a thread that is some keys ahead; its errors are raised here.

    The thread ends with the iteration, also with one that is given up.
    """
    waiting = iter(keys)
    with ThreadPoolExecutor(1, "read-ahead") as pool:
        read_now: deque[Future[R]] = deque(pool.submit(read, key) for key in itertools.islice(waiting, AHEAD))
        try:
            while read_now:
                first = read_now.popleft()
                read_now.extend(pool.submit(read, key) for key in itertools.islice(waiting, 1))
                yield first.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class Reader:
    """Gathers raw examples of a source: on the device where they lie there, else on the host and then sent."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._cuda = source.device.type == "cuda" and not source.resident
        self._stream = torch.cuda.Stream(source.device) if self._cuda else None

    def chunks(self, keys: Iterable[Tensor]) -> Generator[Tensor, None, None]:
        """Raw examples by their indices (int64, where the inputs lie): a tensor on the device for each key."""
        if self._source.resident:
            yield from map(self._source.split.examples, keys)
            return
        for raw, arrived in ahead(self._read, keys):
            yield self._received(raw, arrived)

    def _read(self, indices: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        """Copied out of the file, and on CUDA on its way: from pinned memory, on a stream of its own."""
        raw = self._copied(indices)
        if self._stream is None:
            return raw.to(self._source.device), None
        with torch.cuda.stream(self._stream):
            return raw.to(self._source.device, non_blocking=True), self._stream.record_event()

    def _copied(self, indices: Tensor) -> Tensor:
        split = self._source.split
        rows = indices if split.rows is None else split.rows[indices]
        raw = torch.empty((len(rows), *split.shape), dtype=split.inputs.dtype, pin_memory=self._cuda)
        # NumPy copies in this thread alone; torch would take as many more as the step has, and fight it for cores.
        np.take(split.inputs.numpy(), rows.numpy(), axis=0, out=raw.numpy(), mode="clip")
        return raw

    def _received(self, raw: Tensor, arrived: torch.cuda.Event | None) -> Tensor:
        if arrived is not None:
            here = torch.cuda.current_stream(self._source.device)
            here.wait_event(arrived)
            # Its memory belongs to the other stream, which must not take it back while this one reads it.
            raw.record_stream(here)
        return raw
