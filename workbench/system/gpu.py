"""The GPUs of this host: their names, which of them are taken, and which one a new run gets."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.core.errors import UserError
from workbench.core.text import plural
from workbench.system.cuda_order import VARIABLE, VisibleGpus, short_uuid, visible_gpus
from workbench.system.device_claims import Claims, DeviceClaim, live_claims
from workbench.system.nvml import DriverReport, Gpu, query_driver
from workbench.system.processes import parent_pid

IDLE_LOAD = 0.10
"""Utilisation under which a GPU counts as idle."""


def list_gpus() -> list[Gpu]:
    """All GPUs and MIG slices known to the driver, in PCI order; empty without an NVIDIA driver."""
    return list(query_driver().gpus)


@dataclass(frozen=True)
class GpuInventory:
    """The GPUs of this host at one moment, those that CUDA uses, and the runs that hold them."""

    driver: DriverReport
    visible: VisibleGpus
    claims: Claims = field(default_factory=dict)

    @property
    def usable(self) -> tuple[Gpu, ...]:
        """What a run can be given. Without `CUDA_VISIBLE_DEVICES` that is every MIG slice, too."""
        if self.visible.value is not None:
            return self.visible.gpus
        slices = [gpu for gpu in self.driver.gpus if gpu.parent and gpu not in self.visible.gpus]
        return (*self.visible.gpus, *slices)

    def name(self, gpu: Gpu) -> str:
        """The name of a GPU as `train.device` accepts it: CUDA's number where it has one, else a short UUID."""
        if gpu in self.visible.gpus:
            return f"cuda:{self.visible.gpus.index(gpu)}"
        return short_uuid(gpu, self.driver.gpus)

    def names(self) -> list[str]:
        """The names of the usable GPUs."""
        return [self.name(gpu) for gpu in self.usable]

    def find(self, name: str) -> Gpu:
        """The GPU called `cuda:N` or by (the start of) its UUID. Raises `UserError`."""
        if name.startswith("cuda:"):
            number = name.removeprefix("cuda:")
            if number.isdecimal() and int(number) < len(self.visible.gpus):
                return self.visible.gpus[int(number)]
            raise self._missing(name)
        matches = [gpu for gpu in self.driver.gpus if name in {gpu.uuid, gpu.instance}] or [
            gpu for gpu in self.driver.gpus if gpu.uuid.startswith(name)
        ]
        if len(matches) > 1:
            raise UserError(
                f"{name} names {len(matches)} GPUs: {', '.join(gpu.uuid for gpu in matches)}; write more of the UUID"
            )
        if not matches:
            raise self._missing(name)
        if matches[0].is_partitioned:
            parts = [
                short_uuid(gpu, self.driver.gpus) for gpu in self.usable if gpu.parent == matches[0].uuid
            ]
            raise UserError(
                f"{name} is in MIG mode: choose one of its slices: {', '.join(parts) or 'it has none'}"
            )
        if matches[0] not in self.usable:
            raise UserError(f"{name} is hidden by {VARIABLE}={self.visible.value}: {self._available()}")
        return matches[0]

    def _missing(self, name: str) -> UserError:
        setting = "" if self.visible.value is None else f" with {VARIABLE}={self.visible.value}"
        return UserError(f"no device {name} on this host{setting}; {self._available()}")

    def _available(self) -> str:
        return f"available: {', '.join([*self.names(), *other_devices()])} (or auto)"

    def choose(self, claims: Claims | None = None, among: Sequence[Gpu] | None = None) -> Gpu | None:
        """The GPU for a new run: an idle one that no run holds, else the one with most free memory.

        GPUs on which other people's processes compute come last. `claims`: newer ones than those of the inventory.
        """
        return choose_gpu(self.usable if among is None else among, self.claims if claims is None else claims)

    def choose_several(self, count: int, claims: Claims | None = None) -> tuple[Gpu, ...]:
        """Up to `count` GPUs for a new run, by the same rule."""
        left, chosen = list(self.usable), list[Gpu]()
        while len(chosen) < count and (gpu := self.choose(claims, left)) is not None:
            left.remove(gpu)
            chosen.append(gpu)
        return tuple(chosen)

    def state(self, gpu: Gpu) -> str:
        """`idle`, `2 runs`, `busy`: what happens on a GPU, for people."""
        runs = len(self.claims.get(gpu.uuid, ()))
        if is_foreign(gpu, self.claims.get(gpu.uuid, ())):
            return "busy" if not runs else f"{plural(runs, 'run')} and other processes"
        return plural(runs, "run") if runs else "idle"


def read_inventory() -> GpuInventory:
    """The current GPUs; waits at most `nvml.TIME_LIMIT` seconds for the driver."""
    driver = query_driver()
    return GpuInventory(driver, visible_gpus(driver.gpus), live_claims())


def choose_gpu(gpus: Sequence[Gpu], claims: Claims | None = None) -> Gpu | None:
    """See `GpuInventory.choose`."""
    held = claims or {}

    def rank(gpu: Gpu) -> tuple[bool, int, int, float]:
        own = held.get(gpu.uuid, ())
        return is_foreign(gpu, own), len(own), -gpu.memory_free, gpu.load or 0.0

    return min(gpus, key=rank, default=None)


def is_foreign(gpu: Gpu, claims: Sequence[DeviceClaim] = ()) -> bool:
    """Whether processes compute on a GPU that belong to none of the runs that hold it.

    The driver reports pids of the host: a container does not see them, and one of them may be any run's.
    """
    holders = {claim.process.pid for claim in claims}
    others = [pid for pid in gpu.pids if not _descends_from(pid, holders)]
    hidden = [pid for pid in others if not Path(f"/proc/{pid}").exists()]
    known_runs = len(gpu.pids) - len(others)
    if len(others) > len(hidden) or len(hidden) > max(0, len(claims) - known_runs):
        return True
    return not claims and (gpu.load or 0.0) >= IDLE_LOAD


def _descends_from(pid: int | None, ancestors: set[int]) -> bool:
    """Whether a process or one of its ancestors is in `ancestors`."""
    while pid and ancestors:
        if pid in ancestors:
            return True
        pid = parent_pid(pid)
    return False


def other_devices() -> list[str]:
    """The devices beside NVIDIA's."""
    return ["mps", "cpu"] if has_mps() else ["cpu"]


def has_mps() -> bool:
    """Whether this is a Mac whose GPU torch supports."""
    return sys.platform == "darwin" and os.uname().machine == "arm64"


def has_cuda_library() -> bool:
    """Whether CUDA can be loaded: containers often have the driver's tools, but not its CUDA library."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def may_have_other_gpu() -> bool:
    """Whether torch may find a GPU of which NVML knows nothing: AMD's, a Tegra, a driver that fails."""
    return Path("/dev/kfd").exists() or has_cuda_library()
