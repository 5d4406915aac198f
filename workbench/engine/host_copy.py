"""Copies of one moment: what a checkpoint is made of while training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Path = tuple[str | int, ...]


class Copies:
    """Deep copies of nested dicts, lists and tensors on the CPU, into the same memory each time.

    Fresh memory would take longer than the copy itself. The copy before is overwritten, so whoever reads it has
    to be done with it.

    From a CUDA device the copies go into pinned memory and are queued on the stream that computes, behind the steps
    that were made and before those to come: they are of one moment, and only a reader waits for them (`wait`). A
    stream of their own would gain nothing, as the next step may not change what is still being copied.
    """

    def __init__(self) -> None:
        self._kept: dict[Path, Tensor] = {}
        self._before: dict[Path, Tensor] = {}
        self._queued: list[torch.cuda.Event] = []

    def take(self, value: Any) -> Any:
        """A copy of `value` as it is now; from CUDA devices it is there after `wait`."""
        self._before, self._kept = self._kept, {}
        copy = self._of(value, ())
        self._before = {}
        self._queued = [_event(device) for device in _cuda_devices(value)]
        return copy

    def wait(self) -> None:
        """Return when all that was taken is there (from any thread)."""
        for event in self._queued:
            event.synchronize()

    def _of(self, value: Any, path: Path) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value.detach(), path)
        if isinstance(value, Mapping):
            return {key: self._of(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._of(inner, (*path, i)) for i, inner in enumerate(value)]
        return value

    def _tensor(self, value: Tensor, path: Path) -> Tensor:
        kept = self._before.get(path)
        if kept is None or (kept.shape, kept.dtype) != (value.shape, value.dtype):
            kept = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
        self._kept[path] = kept.copy_(value, non_blocking=value.is_cuda)
        return kept


def _cuda_devices(value: Any) -> set[torch.device]:
    """Where the tensors in `value` lie, as far as that is CUDA."""
    if isinstance(value, Tensor):
        return {value.device} if value.is_cuda else set()
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return set().union(*map(_cuda_devices, inner))


def _event(device: torch.device) -> torch.cuda.Event:
    """What is reached once all that is queued on `device` by now is done."""
    with torch.cuda.device(device):
        event = torch.cuda.Event()
        event.record()
    return event
