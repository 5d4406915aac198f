"""Gives an attempt its device: a GPU, chosen or found by name, claimed, and passed to the worker by UUID; or the CPU.

The supervisor does this because `CUDA_VISIBLE_DEVICES` must be set before torch is loaded, and because the claim has to
end with the run. A queued run is only given what it may have now, see `system.places`; any other run starts at once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench.core.errors import UserError
from workbench.runs.journal import GpuChoice
from workbench.runs.locks import WRITER
from workbench.runs.queue_state import read_places, request_of
from workbench.runs.run_folder import RunFolder
from workbench.runs.tickets import Ticket, TicketQueue
from workbench.system.cuda_order import VARIABLE
from workbench.system.device_claims import ClaimHolder, Claims, DeviceClaim, cpu_device
from workbench.system.device_names import device_names
from workbench.system.devices import find_gpus
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
        self._current: tuple[Assignment, ...] = ()

    def assign(self, device: str, *, ask_driver: bool = True) -> GpuChoice | None:
        """The GPU for an attempt in one process; `None` for another device. See `assign_all`."""
        return next(iter(self.assign_all(device, ask_driver=ask_driver)), None)

    def assign_all(
        self, device: str, processes: int = 1, *, ask_driver: bool = True
    ) -> tuple[GpuChoice, ...]:
        """The GPUs for an attempt with this `train.device`, one for each of its processes.

        Empty for another device, or where CUDA has to find them. Replaces the claims of the previous attempt. With
        `ask_driver=False` no GPU is claimed.
        """
        self.release()
        if device in {"cpu", "mps"} or not ask_driver:
            self._claim_cpu()
            return ()
        try:
            self._current = self._claim_gpus(device, processes, read_inventory())
        except UserError:  # the worker reports it
            return ()
        if not self._current:
            self._claim_cpu()
        return self._chosen

    @property
    def _chosen(self) -> tuple[GpuChoice, ...]:
        return tuple(one.gpu for one in self._current if one.gpu is not None)

    def assign_place(self, ticket: Ticket) -> GpuChoice | None:
        """The GPU for a queued run in one process; `None` for a slot of the CPU. See `assign_places`."""
        return next(iter(self.assign_places(ticket)), None)

    def assign_places(self, ticket: Ticket) -> tuple[GpuChoice, ...]:
        """The GPUs for a queued run; empty for a slot of the CPU. Raises `NoPlaceError` and `OSError`."""
        assert self._queue is not None
        self.release()
        # By now some time has passed since the look that found the place: whoever took it meanwhile is seen.
        places, request = read_places(self._queue, fresh=True), request_of(ticket)

        def pick(claims: Claims) -> tuple[str, ...]:
            place = places.with_claims(claims).find_all(request)
            return () if isinstance(place, NoPlace) else place

        claims = self._claim(pick, memory=ticket.memory, shared=ticket.share)
        if not claims:
            raise NoPlaceError
        gpus = {gpu.uuid: _record(gpu, places.inventory) for gpu in places.inventory.usable}
        self._current = tuple(Assignment(gpus.get(claim.device), claim) for claim in claims)
        return self._chosen

    def _claim_gpus(self, device: str, processes: int, inventory: GpuInventory) -> tuple[Assignment, ...]:
        gpus = find_gpus(device, processes, inventory)
        if not gpus:
            return ()
        any_gpu = device in ANY_GPU

        def pick(claims: Claims) -> tuple[str, ...]:
            chosen = inventory.choose_several(processes, claims) if any_gpu else gpus
            return tuple(gpu.uuid for gpu in chosen)

        try:
            claims = self._claim(pick)
        except OSError:
            return tuple(Assignment(_record(gpu, inventory), None) for gpu in gpus)
        by_uuid = {gpu.uuid: gpu for gpu in inventory.usable}
        return tuple(Assignment(_record(by_uuid[claim.device], inventory), claim) for claim in claims)

    def _claim_cpu(self) -> None:
        """Take a slot of the CPU: queued runs wait while this one computes."""
        if self._queue is None:
            return
        cpu = cpu_device(self._queue.home)
        with contextlib.suppress(OSError):
            self._current = tuple(Assignment(None, claim) for claim in self._claim(lambda _: (cpu,)))

    def _claim(
        self, pick: Callable[[Claims], Sequence[str]], *, memory: int = 0, shared: bool = False
    ) -> list[DeviceClaim]:
        kept = DeviceClaim(
            device="", memory=memory, shared=shared, worker_lock=self._worker_lock, worker_byte=WRITER
        )
        return self._holder.claim_all(self._run, pick, kept)

    def release(self) -> None:
        """End the claims: the attempt has ended, or freed the GPUs' memory."""
        for one in self._current:
            if one.claim is not None:
                self._holder.release(one.claim)
        self._current = ()


def _record(gpu: Gpu, inventory: GpuInventory) -> GpuChoice:
    return GpuChoice(index=gpu.index, uuid=gpu.uuid, name=gpu.name, device=inventory.name(gpu))


@contextlib.contextmanager
def claimed_gpu(what: str, device: str) -> Iterator[str]:
    """Claim a GPU for this process while it computes, by the rule for runs; gives the device as CUDA sees it here.

    CUDA must not have been used yet: as for a worker, the claimed GPU becomes the only one that it sees. Raises
    `UserError` for several GPUs.
    """
    if len(device_names(device)) > 1:
        raise UserError(f"--device {device}: this command uses a single GPU; name one of them")
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


def worker_environment(environment: Mapping[str, str], *gpus: GpuChoice) -> dict[str, str]:
    """The environment of a worker: with its GPUs, if it has some, as the only ones that CUDA sees."""
    return {**environment, **({VARIABLE: ",".join(gpu.uuid for gpu in gpus)} if gpus else {})}
