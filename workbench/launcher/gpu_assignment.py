"""Gives an attempt its GPU: chosen or found by name, claimed, and passed to the worker by UUID.

The supervisor does this because `CUDA_VISIBLE_DEVICES` must be set before torch is loaded, and because the claim has to
end with the run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from workbench.core.errors import UserError
from workbench.runs.journal import GpuChoice
from workbench.system.cuda_order import VARIABLE
from workbench.system.device_claims import ClaimHolder, Claims, DeviceClaim
from workbench.system.devices import find_gpu
from workbench.system.gpu import GpuInventory, read_inventory
from workbench.system.nvml import Gpu


@dataclass(frozen=True)
class Assignment:
    """A GPU and the claim of it; `claim` is `None` where it could not be recorded (a full disk)."""

    gpu: GpuChoice
    claim: DeviceClaim | None


class GpuAssigner:
    """Claims the GPUs of one run's attempts, in the process that holds the run."""

    def __init__(self, run: str) -> None:
        self._run, self._holder = run, ClaimHolder()
        self._current: Assignment | None = None

    def assign(self, device: str) -> GpuChoice | None:
        """The GPU for an attempt with this `train.device`; `None` for another device, or where CUDA has to find one.

        Replaces the claim of the previous attempt.
        """
        self.release()
        if device in {"cpu", "mps"}:
            return None
        inventory = read_inventory()
        try:
            self._current = self._claim(device, inventory)
        except UserError:  # the worker reports it
            return None
        return None if self._current is None else self._current.gpu

    def _claim(self, device: str, inventory: GpuInventory) -> Assignment | None:
        gpu = find_gpu(device, inventory)
        if gpu is None:
            return None
        any_gpu = device in {"auto", "cuda"}

        def pick(claims: Claims) -> str:
            chosen = inventory.choose(claims) if any_gpu else None
            return (chosen or gpu).uuid

        claim: DeviceClaim | None = None
        with contextlib.suppress(OSError):
            claim = self._holder.claim(self._run, pick)
        taken = gpu if claim is None else next(g for g in inventory.usable if g.uuid == claim.device)
        return Assignment(_record(taken, inventory), claim)

    def release(self) -> None:
        """End the claim: the attempt has ended, or freed the GPU's memory."""
        if self._current is not None and self._current.claim is not None:
            self._holder.release(self._current.claim)
        self._current = None


def _record(gpu: Gpu, inventory: GpuInventory) -> GpuChoice:
    return GpuChoice(index=gpu.index, uuid=gpu.uuid, name=gpu.name, device=inventory.name(gpu))


@contextlib.contextmanager
def claimed_gpu(what: str, device: str) -> Iterator[str]:
    """Claim a GPU for this process while it computes, by the rule for runs; gives the device as CUDA sees it here.

    CUDA must not have been used yet: as for a worker, the claimed GPU becomes the only one that it sees.
    """
    gpus, before = GpuAssigner(what), os.environ.get(VARIABLE)
    try:
        choice = gpus.assign(device)
        if choice is None:
            yield device
            return
        os.environ[VARIABLE] = choice.uuid
        yield device if device in {"auto", "cuda"} else choice.uuid
    finally:
        gpus.release()
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def worker_environment(environment: Mapping[str, str], gpu: GpuChoice | None) -> dict[str, str]:
    """The environment of a worker: with its GPU as the only one that CUDA sees."""
    return {**environment, **({} if gpu is None else {VARIABLE: gpu.uuid})}
