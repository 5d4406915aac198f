"""Gives an attempt its device: a GPU, chosen or found by name, claimed, and passed to the worker by UUID; or the CPU.

The supervisor does this because `CUDA_VISIBLE_DEVICES` must be set before torch is loaded, and because the claim has to
end with the run. A queued run is only given what it may have now, see `system.places`; any other run starts at once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from workbench.core.errors import UserError
from workbench.runs.journal import GpuChoice
from workbench.runs.locks import WRITER
from workbench.runs.queue_state import read_places, request_of
from workbench.runs.run_folder import RunFolder
from workbench.runs.tickets import Ticket, TicketQueue
from workbench.system.cuda_order import VARIABLE
from workbench.system.device_claims import ClaimHolder, Claims, DeviceClaim, cpu_device
from workbench.system.devices import find_gpu
from workbench.system.gpu import GpuInventory, read_inventory
from workbench.system.nvml import Gpu
from workbench.system.places import ANY_GPU, NoPlace


@dataclass(frozen=True)
class Assignment:
    """A GPU (`None`: the CPU) and the claim of it; `claim` is `None` where it could not be recorded (a full disk)."""

    gpu: GpuChoice | None
    claim: DeviceClaim | None


class NoPlaceError(Exception):
    """A queued run can't have the device that it would have been given a moment ago."""


class GpuAssigner:
    """Claims the devices of one run's attempts, in the process that holds the run.

    `folder`: that of a run, which takes a slot of the CPU where it has no GPU.
    """

    def __init__(self, run: str, folder: RunFolder | None = None) -> None:
        self._run, self._holder = run, ClaimHolder()
        self._queue = None if folder is None else TicketQueue.of(folder)
        self._worker_lock = "" if folder is None else str(folder.lock)
        self._current: Assignment | None = None

    def assign(self, device: str, *, ask_driver: bool = True) -> GpuChoice | None:
        """The GPU for an attempt with this `train.device`; `None` for another device, or where CUDA has to find one.

        Replaces the claim of the previous attempt. With `ask_driver=False` no GPU is claimed.
        """
        self.release()
        if device in {"cpu", "mps"} or not ask_driver:
            self._claim_cpu()
            return None
        inventory = read_inventory()
        try:
            self._current = self._claim_gpu(device, inventory)
        except UserError:  # the worker reports it
            return None
        if self._current is None:
            self._claim_cpu()
        return None if self._current is None else self._current.gpu

    def assign_place(self, ticket: Ticket) -> GpuChoice | None:
        """The GPU for a queued run; `None` for a slot of the CPU. Raises `NoPlaceError` and `OSError`."""
        assert self._queue is not None
        self.release()
        # By now some time has passed since the look that found the place: whoever took it meanwhile is seen.
        places, request = read_places(self._queue, fresh=True), request_of(ticket)

        def pick(claims: Claims) -> str | None:
            place = places.with_claims(claims).find(request)
            return None if isinstance(place, NoPlace) else place

        claim = self._claim(pick, memory=ticket.memory, shared=ticket.share)
        if claim is None:
            raise NoPlaceError
        gpu = next((g for g in places.inventory.usable if g.uuid == claim.device), None)
        self._current = Assignment(None if gpu is None else _record(gpu, places.inventory), claim)
        return self._current.gpu

    def _claim_gpu(self, device: str, inventory: GpuInventory) -> Assignment | None:
        gpu = find_gpu(device, inventory)
        if gpu is None:
            return None
        any_gpu = device in ANY_GPU

        def pick(claims: Claims) -> str:
            chosen = inventory.choose(claims) if any_gpu else None
            return (chosen or gpu).uuid

        claim: DeviceClaim | None = None
        with contextlib.suppress(OSError):
            claim = self._claim(pick)
        taken = gpu if claim is None else next(g for g in inventory.usable if g.uuid == claim.device)
        return Assignment(_record(taken, inventory), claim)

    def _claim_cpu(self) -> None:
        """Take a slot of the CPU: queued runs wait while this one computes."""
        if self._queue is None:
            return
        cpu = cpu_device(self._queue.home)
        with contextlib.suppress(OSError):
            self._current = Assignment(None, self._claim(lambda _: cpu))

    def _claim(
        self, pick: Callable[[Claims], str | None], *, memory: int = 0, shared: bool = False
    ) -> DeviceClaim | None:
        kept = DeviceClaim(
            device="", memory=memory, shared=shared, worker_lock=self._worker_lock, worker_byte=WRITER
        )
        return self._holder.claim(self._run, pick, kept)

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
