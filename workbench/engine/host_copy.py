"""Copies of tensors in host memory, from which a checkpoint is written while training continues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Path = tuple[str | int, ...]


class HostCopy:
    """Deep copies of nested dicts, lists and tensors on the CPU, into the same buffers each time.

    Allocating memory would take longer than the copy itself. Each copy overwrites the one before, which must no longer
    be in use.

    Tensors on a CUDA device are copied into pinned memory, queued on the stream that computes: after all steps so far
    and before the next one, so they form a consistent snapshot, and only a reader waits for them (`wait`). A separate
    stream would gain nothing, since the next step must not change what is still being copied.
    """

    def __init__(self) -> None:
        self._buffers: dict[Path, Tensor] = {}
        self._previous_buffers: dict[Path, Tensor] = {}
        self._pending_events: list[torch.cuda.Event] = []

    def copy(self, value: Any) -> Any:
        """A copy of `value` as it is now; tensors from CUDA devices are valid only after `wait`."""
        self._previous_buffers, self._buffers = self._buffers, {}
        copy = self._copy_value(value, ())
        self._previous_buffers = {}
        self._pending_events = [_record_event(device) for device in _cuda_devices(value)]
        return copy

    def wait(self) -> None:
        """Return once all queued copies are complete; may be called from any thread."""
        for event in self._pending_events:
            event.synchronize()

    def _copy_value(self, value: Any, path: Path) -> Any:
        if isinstance(value, Tensor):
            return self._copy_tensor(value.detach(), path)
        if isinstance(value, Mapping):
            return {key: self._copy_value(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._copy_value(inner, (*path, i)) for i, inner in enumerate(value)]
        return value

    def _copy_tensor(self, value: Tensor, path: Path) -> Tensor:
        buffer = self._previous_buffers.get(path)
        if buffer is None or (buffer.shape, buffer.dtype) != (value.shape, value.dtype):
            buffer = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
        self._buffers[path] = buffer.copy_(value, non_blocking=value.is_cuda)
        return buffer


def _cuda_devices(value: Any) -> set[torch.device]:
    """The CUDA devices of all tensors in `value`."""
    if isinstance(value, Tensor):
        return {value.device} if value.is_cuda else set()
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return set().union(*map(_cuda_devices, inner))


def _record_event(device: torch.device) -> torch.cuda.Event:
    """An event that completes once everything queued on `device` so far has completed."""
    with torch.cuda.device(device):
        event = torch.cuda.Event()
        event.record()
    return event
