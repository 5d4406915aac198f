"""The processes that train one run together, and what they exchange besides gradients.

One of them, rank 0, is the writer: it alone reads requests and writes the run's files. A training in a single process
is a group of one, whose operations do nothing.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

TIMEOUT = datetime.timedelta(days=20)
"""How long a process waits for the others, who may be paused: the longest that 31 bits of milliseconds can say. Of a
process that has died the others learn at once, as its connections are closed."""


class ProcessGroup:
    """A group of one process; `DistributedGroup` is one of several."""

    rank = local_rank = 0
    """The number of this process, among all and among those on this host."""
    size = 1

    @property
    def is_writer(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def broadcast(self, value: Any, type: Any) -> Any:
        """The writer's `value`, which msgspec can encode as JSON and decode as `type`; the others give `None`."""
        return value

    def broadcast_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite `tensors` with those of the writer."""

    def barrier(self) -> None:
        """Wait until every process is here."""

    def sum(self, tensor: Tensor) -> None:
        """Replace `tensor` by the sum over all processes, in place; without synchronizing with a GPU."""

    def gather(self, value: T) -> list[T]:
        """The `value` of every process, in the order of their ranks: plain values and tensors on the CPU."""
        return [value]

    def gather_rows(self, rows: Tensor, total: int) -> Tensor:
        """The rows of all processes, [total, ...] in the order of their ranks; each has those of `span(total)`."""
        return rows

    def span(self, count: int) -> tuple[int, int]:
        """Start and end of this process's part of `count` samples; the parts differ by one sample at most."""
        return count * self.rank // self.size, count * (self.rank + 1) // self.size

    @contextmanager
    def writer_first(self) -> Iterator[None]:
        """Run the body in the writer, and then in the others: what it leaves in a cache is there for them."""
        yield


SINGLE = ProcessGroup()
"""The group of a training in one process."""


class DistributedGroup(ProcessGroup):
    """Several processes, connected by gloo on CPUs and by NCCL between GPUs.

    Reads the variables that the elastic agent sets. Operations raise `RuntimeError` where another process has ended.
    """

    def __init__(self, device: torch.device) -> None:
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=TIMEOUT)
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.local_rank = int(os.environ["LOCAL_RANK"])

    def broadcast(self, value: Any, type: Any) -> Any:
        """The writer's `value`, which msgspec can encode as JSON and decode as `type`; the others give `None`."""
        encoded = msgspec.json.encode(value) if self.is_writer else b""
        length = torch.tensor(len(encoded))
        dist.broadcast(length, 0)
        data = torch.empty(int(length), dtype=torch.uint8)
        if self.is_writer:
            data.copy_(torch.frombuffer(bytearray(encoded), dtype=torch.uint8))
        dist.broadcast(data, 0)
        return msgspec.json.decode(data.numpy().tobytes(), type=type)

    def broadcast_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite `tensors` with those of the writer; all tensors of a dtype and device in one message."""
        kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
        for tensor in tensors:
            kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor.detach())
        for same in kinds.values():
            message = torch.cat([tensor.flatten() for tensor in same])
            dist.broadcast(message, 0)
            for tensor, values in zip(same, message.split([t.numel() for t in same]), strict=True):
                tensor.copy_(values.view(tensor.shape))

    def barrier(self) -> None:
        """Wait until every process is here."""
        dist.all_reduce(torch.zeros(()))  # on the CPU; `dist.barrier` would use a GPU

    def sum(self, tensor: Tensor) -> None:
        """Replace `tensor` by the sum over all processes, in place."""
        dist.all_reduce(tensor)

    def gather(self, value: T) -> list[T]:
        """The `value` of every process, in the order of their ranks: plain values and tensors on the CPU."""
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def gather_rows(self, rows: Tensor, total: int) -> Tensor:
        """The rows of all processes, [total, ...] in the order of their ranks; each has those of `span(total)`."""
        longest = -(-total // self.size)
        padded = rows.new_zeros((longest, *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        counts = [total * (rank + 1) // self.size - total * rank // self.size for rank in range(self.size)]
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @contextmanager
    def writer_first(self) -> Iterator[None]:
        """Run the body in the writer, and then in the others; of several hosts, in the first process of each."""
        is_first = self.local_rank == 0
        if is_first:
            yield
        self.barrier()
        if not is_first:
            yield

    def close(self) -> None:
        """Leave the group."""
        dist.destroy_process_group()
