"""Information about this machine: devices, memory, disks, package versions and problems. Does not import torch."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import msgspec

from workbench.core import paths
from workbench.core.distribution import name_conflict
from workbench.system import logout
from workbench.system.cpu import cpu_quota, load_average, usable_cores
from workbench.system.devices import (
    DeviceInfo,
    TrainingDevice,
    describe_visibility,
    gpu_problems,
    list_devices,
    training_device,
)
from workbench.system.gpu import read_inventory
from workbench.system.memory import host_memory
from workbench.system.packages import installed_versions, package_problems

LOW_DISK_BYTES = 1_000_000_000
"""Free bytes below which a disk counts as nearly full: a few checkpoints of a common network."""


class HostInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The machine itself."""

    name: str
    system: str
    cores: int
    """Number of cores that this process may use, within the CPU quota of its container."""
    load: float | None
    """Load average of the last minute: the mean number of runnable processes."""
    memory_total: int | None
    """Bytes."""
    memory_free: int | None
    cpu_quota: float | None = None
    """CPU time in cores that the container or job may use; `None` without a limit."""


class DiskSpace(msgspec.Struct, frozen=True):
    """Bytes on a disk; `None` where the system does not report them."""

    free: int | None = None
    total: int | None = None


class DiskPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of workbench, with free and total bytes of its disk."""

    content: str = msgspec.field(name="kept")
    """What is stored there: `runs`, `data` or `weights`. Its key is the one that scripts know from `doctor --json`."""
    path: str
    free: int | None
    total: int | None


class MachineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the machine pane and of `workbench doctor`."""

    host: HostInfo
    devices: tuple[DeviceInfo, ...]
    """The CPU last."""
    training: TrainingDevice
    disk: tuple[DiskPlace, ...]
    versions: dict[str, str | None]
    """Versions of Python and of the main packages; `None` for a package that is not installed."""
    visibility: str = ""
    """What `CUDA_VISIBLE_DEVICES` does, in one line; empty where it is not set or there is no GPU."""
    driver_cuda: str | None = None
    """The newest CUDA version of the NVIDIA driver."""


def describe_machine() -> MachineInfo:
    """The current state of the machine."""
    inventory = read_inventory()
    return MachineInfo(
        host=describe_host(),
        devices=tuple(list_devices(inventory)),
        training=training_device("auto", inventory),
        disk=tuple(list_disk_places()),
        versions=installed_versions(),
        visibility=describe_visibility(inventory),
        driver_cuda=inventory.driver.cuda,
    )


def describe_host() -> HostInfo:
    """The host, with its current load and memory."""
    total, free = host_memory()
    return HostInfo(
        name=platform.node(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=usable_cores(),
        load=load_average(),
        memory_total=total,
        memory_free=free,
        cpu_quota=cpu_quota(),
    )


def list_disk_places() -> list[DiskPlace]:
    """The folders of runs, datasets and weights, with the space on their disks."""
    places = (("runs", paths.runs()), ("data", paths.data_cache()), ("weights", paths.weights()))
    return [_disk_place(content, path) for content, path in places]


def _disk_place(content: str, path: Path) -> DiskPlace:
    space = disk_space(path)
    return DiskPlace(content=content, path=str(path), free=space.free, total=space.total)


def disk_space(path: Path) -> DiskSpace:
    """The space on the disk where `path` is or would be created."""
    try:
        usage = shutil.disk_usage(_nearest_existing(path))
    except OSError:
        return DiskSpace()
    return DiskSpace(usage.free, usage.total)


def find_problems() -> list[str]:
    """Problems of this machine for training, each in one line with its fix."""
    conflict = name_conflict()
    conflicts = [conflict] if conflict else []
    return [*conflicts, *package_problems(), *gpu_problems(), *_home_problems(), *_logout_problems()]


def _home_problems() -> list[str]:
    home = paths.home()
    place = _nearest_existing(home)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return [f"{home} is not writable: set WORKBENCH_HOME to a writable folder"]
    full: dict[int, str] = {}
    for row in list_disk_places():
        if row.free is not None and row.free < LOW_DISK_BYTES:
            full.setdefault(
                _nearest_existing(Path(row.path)).stat().st_dev,
                f"only {row.free / 1e6:,.0f} MB are free on the disk of {row.content} ({row.path}): free some space, "
                f"or set {'TORCH_HOME' if row.content == 'weights' else 'WORKBENCH_HOME'} to another disk",
            )
    return list(full.values())


def _logout_problems() -> list[str]:
    problem = logout.logout_policy().problem
    return [problem] if problem else []


def _nearest_existing(path: Path) -> Path:
    """`path`, or its nearest parent that exists."""
    return next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))
