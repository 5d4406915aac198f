"""This machine as training sees it: devices, memory, disk, versions, and what stands in the way. No torch.

Whether torch fits is read from what is written about the installed packages, never by importing them: an import
takes seconds, and where two builds don't fit it is the import that fails.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path

import msgspec
import pynvml

from workbench.core import paths
from workbench.core.distribution import name_conflict, version_of
from workbench.system import logout
from workbench.system.cpu import usable_cores
from workbench.system.gpu import Gpu, choose_gpu, list_gpus
from workbench.system.memory import host_memory

PACKAGES = ("workbench", "torch", "torchvision", "textual", "plotext", "pillow")
OLDEST_TORCH = (2, 10)
LITTLE_ROOM = 1_000_000_000
"""Bytes under which a disk is said to be nearly full: a few checkpoints of a common network."""


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A device that can train; `None` where a value is not known."""

    device: str
    """As `train.device` takes it."""
    kind: str
    """`cuda`, `mps` or `cpu`."""
    name: str
    uuid: str | None = None
    memory_total: int | None = None
    """Bytes."""
    memory_free: int | None = None
    load: float | None = None
    """From 0 to 1."""
    processes: int | None = None
    """Processes that compute on it."""
    chosen: bool = False
    """Whether a run with device auto takes it."""
    why: str = ""
    """Why it is chosen, for people."""


class HostInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The machine itself."""

    name: str
    system: str
    cores: int
    """Those that this process may use."""
    load: float | None
    """Runnable processes over the last minute."""
    memory_total: int | None
    """Bytes."""
    memory_free: int | None


class DiskSpace(msgspec.Struct, frozen=True):
    """Bytes on a disk; `None` where the system does not report them."""

    free: int | None = None
    total: int | None = None


class DiskPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that files are kept in, and the bytes on its disk."""

    kept: str
    """What lies there: `runs`, `data` or `weights`."""
    path: str
    free: int | None
    total: int | None


class TrainingDevice(msgspec.Struct, frozen=True):
    """The device that a run with device auto takes, and why."""

    device: str
    why: str


class MachineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the machine pane and `workbench doctor` show."""

    host: HostInfo
    devices: tuple[DeviceInfo, ...]
    """The CPU last."""
    training: TrainingDevice
    disk: tuple[DiskPlace, ...]
    versions: dict[str, str | None]
    """Of Python and the packages that training and the screen depend on; `None`: not installed."""


def devices() -> list[DeviceInfo]:
    """Every device, the CPU last."""
    gpus = list_gpus()
    chosen, why = training_device("auto", gpus)
    rows = [_gpu_row(gpu) for gpu in gpus]
    if _has_mps():
        rows.append(DeviceInfo(device="mps", kind="mps", name="Apple GPU"))
    rows.append(_cpu_row())
    return [
        msgspec.structs.replace(row, chosen=True, why=why) if row.device == chosen else row for row in rows
    ]


def training_device(wanted: str = "auto", gpus: Sequence[Gpu] | None = None) -> tuple[str, str]:
    """What a run with `train.device` = `wanted` will take (`GPU0`, `mps`, `cpu`, ...) and why, in words.

    The rule is the supervisor's: `CUDA_VISIBLE_DEVICES` is obeyed where it is set; else the idle GPU with most
    free memory.
    """
    if wanted != "auto":
        return wanted, "asked for"
    known = list_gpus() if gpus is None else list(gpus)
    usable = visible(known)
    best = choose_gpu(usable) if cuda_of_torch() else None
    if best is not None:
        idle = "idle" if best.idle else "the least busy"
        return f"GPU{best.index}", idle if len(
            usable
        ) > 1 else f"the only GPU, {'idle' if best.idle else 'busy'}"
    if _has_mps():
        return "mps", "Apple's GPU"
    if not known:
        return "cpu", "no GPU here"
    return "cpu", "CUDA_VISIBLE_DEVICES hides the GPUs" if not usable else "this torch has no CUDA"


def visible(gpus: Sequence[Gpu]) -> list[Gpu]:
    """Those of `gpus` that `CUDA_VISIBLE_DEVICES` leaves in sight (all, where it is not set)."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return list(gpus)
    names = [name.strip() for name in given.split(",") if name.strip()]
    return [
        g for g in gpus if str(g.index) in names or any(g.uuid.startswith(n) for n in names if n[0] == "G")
    ]


def describe() -> MachineInfo:
    """The machine as it is now."""
    rows = devices()
    chosen = next((row for row in rows if row.chosen), rows[-1])
    return MachineInfo(
        host=host(),
        devices=tuple(rows),
        training=TrainingDevice(chosen.device, chosen.why),
        disk=tuple(disk()),
        versions=versions(),
    )


def host() -> HostInfo:
    """The machine itself, with its load and memory."""
    total, free = host_memory()
    return HostInfo(
        name=platform.node(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=usable_cores(),
        load=_load(),
        memory_total=total,
        memory_free=free,
    )


def disk() -> list[DiskPlace]:
    """Where files are kept, and how much room is left there."""
    places = (("runs", paths.runs()), ("data", paths.data_cache()), ("weights", paths.weights()))
    return [_disk_place(kept, path) for kept, path in places]


def _disk_place(kept: str, path: Path) -> DiskPlace:
    space = room(path)
    return DiskPlace(kept=kept, path=str(path), free=space.free, total=space.total)


def room(path: Path) -> DiskSpace:
    """The bytes on the disk where `path` is or would be."""
    try:
        found = shutil.disk_usage(_existing(path))
    except OSError:
        return DiskSpace()
    return DiskSpace(found.free, found.total)


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that training and the screen depend on; `None`: not installed."""
    return {"python": platform.python_version(), **{name: build_of(name) for name in PACKAGES}}


def build_of(package: str) -> str | None:
    """A package's version, for torch and torchvision with the build behind it (`2.10.0+cpu`)."""
    version = version_of(package)
    if version is None:
        return None
    said = re.search(r"^__version__ = '([^']+)'", _version_file(package), re.MULTILINE)
    return said[1] if said else version


def cuda_of_torch() -> str | None:
    """The CUDA that the installed torch was built with (`12.8`); `None` where it has none, or is not there."""
    said = re.search(r"^(?:cuda|hip)\b[^=\n]*= *'([\d.]+)", _version_file("torch"), re.MULTILINE)
    return said[1] if said else None


def problems() -> list[str]:
    """What keeps training from working well here, each with what to do; empty: nothing."""
    conflict = name_conflict()
    names = [conflict] if conflict else []
    return [*names, *_package_problems(), *_gpu_problems(), *_home_problems(), *_logout_problems()]


def _package_problems() -> list[str]:
    torch, vision = build_of("torch"), build_of("torchvision")
    missing = [name for name, found in (("torch", torch), ("torchvision", vision)) if found is None]
    if missing:
        return [f"not installed: {' and '.join(missing)}: pip install torch torchvision"]
    assert torch and vision
    found = []
    if release(torch) < OLDEST_TORCH:
        found.append(f"torch {torch} is too old, 2.10 is wanted: pip install --upgrade torch torchvision")
    return found + mismatch(torch, vision, _wanted_torch())


def mismatch(torch: str, vision: str, wanted: Sequence[str] = ()) -> list[str]:
    """Why these builds of torch and torchvision don't go together, if so.

    `wanted` are the conditions that torchvision's package puts on torch (`==2.10.0`, `>=2.14`). A torch without
    CUDA and a torchvision with it (or the other way) fail at import: "operator torchvision::nms does not exist".
    """
    unmet = [condition for condition in wanted if not fulfils(release(torch), condition)]
    if unmet:
        return [
            f"torchvision {vision} wants torch {unmet[0]}, but {torch} is here: pip install --upgrade torch torchvision"
        ]
    builds = [_build(version) for version in (torch, vision)]
    if builds[0] == builds[1] or not (all(builds) or builds[0] == "cpu"):
        return []
    source = f"https://download.pytorch.org/whl/{builds[0]}"
    return [
        f"torch {torch} and torchvision {vision} are different builds ('operator torchvision::nms does not exist'): "
        f"pip install --force-reinstall torch torchvision --index-url {source}"
    ]


def _build(version: str) -> str:
    """What a version says it is compiled for: `cpu`, `cu128`, `rocm6.4`; empty where it does not say."""
    suffix = version.partition("+")[2]
    return suffix if re.match(r"cpu|cu\d|rocm|xpu", suffix) else ""


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version: `2.10.0+cpu` → (2, 10, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def fulfils(version: tuple[int, ...], condition: str) -> bool:
    """Whether a release meets `==2.10.0` or `>=2.14`; conditions of other kinds count as met."""
    said = re.fullmatch(r"(==|>=)\s*([\d.]+)", condition.strip())
    if not said:
        return True
    wanted = release(said[2])
    shown = (*version, 0, 0, 0)[: len(wanted)]
    return shown == wanted if said[1] == "==" else shown >= wanted


def _wanted_torch() -> list[str]:
    lines = metadata.requires("torchvision") or []
    for line in lines:
        said = re.match(r"torch\s*\(?([^A-Za-z;()]*)\)?\s*(?:;|$)", line)
        if said:
            return [part.strip() for part in said[1].split(",") if part.strip()]
    return []


def _gpu_problems() -> list[str]:
    if not list_gpus() or build_of("torch") is None:
        return []
    built, driver = cuda_of_torch(), driver_cuda()
    if built is None:
        return [
            f"there is an NVIDIA GPU, but torch {build_of('torch')} has no CUDA: pip install --force-reinstall "
            "torch torchvision"
        ]
    if driver and release(built)[0] > release(driver)[0]:
        return [
            f"torch is built for CUDA {built}, NVIDIA's driver here knows up to {driver}: update the driver, or "
            f"install a torch for CUDA {driver} (https://pytorch.org/get-started/previous-versions)"
        ]
    return []


def driver_cuda() -> str | None:
    """The newest CUDA that the NVIDIA driver knows (`12.8`); `None` where there is no driver."""
    try:
        pynvml.nvmlInit()
        number = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None
    return f"{number // 1000}.{number % 1000 // 10}"


def _home_problems() -> list[str]:
    home = paths.home()
    place = _existing(home)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return [f"{home} can't be written: set WORKBENCH_HOME to a folder you may write"]
    full: dict[int, str] = {}
    for row in disk():
        if row.free is not None and row.free < LITTLE_ROOM:
            full.setdefault(
                _existing(Path(row.path)).stat().st_dev,
                f"only {row.free / 1e6:,.0f} MB are free where {row.kept} are kept ({row.path}): make room, "
                f"or set {'TORCH_HOME' if row.kept == 'weights' else 'WORKBENCH_HOME'} to another disk",
            )
    return list(full.values())


def _logout_problems() -> list[str]:
    problem = logout.at_logout().problem
    return [problem] if problem else []


def _existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    return next((place for place in (path, *path.parents) if place.exists()), Path("/"))


def _gpu_row(gpu: Gpu) -> DeviceInfo:
    return DeviceInfo(
        device=f"GPU{gpu.index}", kind="cuda", name=gpu.name, uuid=gpu.uuid, memory_total=gpu.memory_total,
        memory_free=gpu.memory_free, load=gpu.load, processes=gpu.processes,
    )  # fmt: skip


def _cpu_row() -> DeviceInfo:
    total, free = host_memory()
    cores, load = usable_cores(), _load()
    share = None if load is None else min(1.0, load / cores)
    name = f"{cpu_name()}, {cores} core{'' if cores == 1 else 's'}"
    return DeviceInfo(device="cpu", kind="cpu", name=name, memory_total=total, memory_free=free, load=share)


def cpu_name() -> str:
    """The kind of this machine's processor, as its maker calls it."""
    try:
        said = re.search(
            r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(errors="replace"), re.MULTILINE
        )
    except OSError:
        said = None
    return said[1].strip() if said else platform.processor() or platform.machine()


def _load() -> float | None:
    """Processes that want a core, over the last minute."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def _version_file(package: str) -> str:
    """The text of `package/version.py`, which torch and torchvision write when they are built; empty without."""
    try:
        found = util.find_spec(package)
    except (ImportError, ValueError):
        return ""
    if found is None or not found.submodule_search_locations:
        return ""
    try:
        return Path(found.submodule_search_locations[0], "version.py").read_text(encoding="utf-8")
    except (OSError, IndexError):
        return ""


def _has_mps() -> bool:
    return sys.platform == "darwin" and platform.machine() == "arm64"
