"""Which device a queued run gets: one that it has alone, or shares where both sides agree and the memory suffices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from workbench.core.errors import UserError
from workbench.system.device_claims import Claims
from workbench.system.devices import find_gpus
from workbench.system.gpu import GpuInventory, choose_gpu, is_foreign
from workbench.system.nvml import Gpu

ANY_GPU = {"auto", "cuda"}


class Shortage(StrEnum):
    """Why there is no place for a run now."""

    CPU_SLOT = "cpu slot"
    GPU = "gpu"
    OTHER_PROCESSES = "other processes"
    """Processes that belong to none of our runs compute on the GPUs."""
    MEMORY = "memory"
    EARLIER_RUN = "earlier run"
    """A run before it in the queue waits for the same place."""


@dataclass(frozen=True)
class PlaceRequest:
    """What a run asks for."""

    device: str
    """As in `train.device`."""
    memory: int = 0
    """The bytes of GPU memory that it needs; 0: unknown."""
    share: bool = False
    """Whether it may share a GPU with runs that allow it too."""
    processes: int = 1
    """Each gets a GPU of its own; on the CPU they share a slot."""


@dataclass(frozen=True)
class NoPlace:
    """Why a run has to wait, and for which of these devices."""

    shortage: Shortage
    devices: tuple[str, ...]
    """UUIDs of GPUs, or the CPU."""
    holders: tuple[str, ...] = ()
    """The ids of the runs that hold them."""


@dataclass(frozen=True)
class Places:
    """The devices of this host, the claims of them, and those that earlier runs of the queue wait for."""

    inventory: GpuInventory
    cpu: str
    """The CPU, see `device_claims.cpu_device`."""
    slots: int = 1
    """How many runs may use the CPU at once."""
    reserved: frozenset[str] = frozenset()

    @property
    def claims(self) -> Claims:
        """The live claims."""
        return self.inventory.claims

    def with_claims(self, claims: Claims) -> Places:
        """The same with newer claims."""
        return replace(self, inventory=replace(self.inventory, claims=claims))

    def reserve(self, devices: tuple[str, ...]) -> Places:
        """The same without these devices for the runs that come later."""
        return replace(self, reserved=self.reserved | {*devices})

    def find(self, request: PlaceRequest) -> str | NoPlace:
        """The device for a run in one process, or why it has none now."""
        place = self.find_all(request)
        return place if isinstance(place, NoPlace) else place[0]

    def find_all(self, request: PlaceRequest) -> tuple[str, ...] | NoPlace:
        """The devices for a run, one for each process or the CPU for all; or why it has none now."""
        gpus = self._candidates(request)
        if not gpus:
            slot = self._find_cpu_slot()
            return slot if isinstance(slot, NoPlace) else (slot,)
        uuids = tuple(gpu.uuid for gpu in gpus)
        unreserved = [gpu for gpu in gpus if gpu.uuid not in self.reserved]
        shortages = {gpu.uuid: self._shortage(gpu, request) for gpu in unreserved}
        free, chosen = [gpu for gpu in unreserved if shortages[gpu.uuid] is None], list[str]()
        while len(chosen) < request.processes and (gpu := choose_gpu(free, self.claims)) is not None:
            free.remove(gpu)
            chosen.append(gpu.uuid)
        if len(chosen) == request.processes:
            return tuple(chosen)
        found = {kind for kind in shortages.values() if kind is not None} or {Shortage.EARLIER_RUN}
        order = (Shortage.MEMORY, Shortage.GPU, Shortage.OTHER_PROCESSES, Shortage.EARLIER_RUN)
        return NoPlace(next(kind for kind in order if kind in found), uuids, self._holders(uuids))

    def capacity(self, requests: Sequence[PlaceRequest]) -> int:
        """How many of these runs can have a place of their own at once, where no other run has one."""
        on_gpus = [(one, gpus) for one in requests if (gpus := self._candidates(one))]
        distinct = {gpu.uuid for _, gpus in on_gpus for gpu in gpus}
        each = max((request.processes for request, _ in on_gpus), default=1)
        return min(len(on_gpus), len(distinct) // each) + min(len(requests) - len(on_gpus), self.slots)

    def _candidates(self, request: PlaceRequest) -> list[Gpu]:
        """The GPUs that the run could use if they were free; none for a run on the CPU."""
        if request.device in {"cpu", "mps"}:
            return []
        try:
            gpus = find_gpus(request.device, request.processes, self.inventory)
        except UserError:  # the worker reports it
            return []
        if not gpus:
            return []
        gpus = self.inventory.usable if request.device in ANY_GPU else gpus
        return [one for one in gpus if one.memory_total >= request.memory] or list(gpus)

    def _shortage(self, gpu: Gpu, request: PlaceRequest) -> Shortage | None:
        """Why a run can't have this GPU now."""
        claims = self.claims.get(gpu.uuid, ())
        if is_foreign(gpu, claims):
            return Shortage.OTHER_PROCESSES
        if claims and not (request.share and request.memory and all(c.shared and c.memory for c in claims)):
            return Shortage.GPU
        # What a run has not allocated yet is free by the driver's count, but not to be given away again.
        promised = sum(claim.memory for claim in claims)
        fits = request.memory <= min(gpu.memory_free, gpu.memory_total - promised)
        return None if fits else Shortage.MEMORY

    def _find_cpu_slot(self) -> str | NoPlace:
        if self.cpu in self.reserved:
            return NoPlace(Shortage.EARLIER_RUN, (self.cpu,))
        holders = self._holders((self.cpu,))
        return self.cpu if len(holders) < self.slots else NoPlace(Shortage.CPU_SLOT, (self.cpu,), holders)

    def _holders(self, devices: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(claim.run for device in devices for claim in self.claims.get(device, ()))
