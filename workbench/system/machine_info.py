"""Information about this machine: devices, memory, disks, package versions and problems. Does not import torch.

The compatibility of torch and torchvision is determined from package metadata and files: importing them takes
seconds, and fails for incompatible builds.
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
LOW_DISK_BYTES = 1_000_000_000
"""Free bytes below which a disk counts as nearly full: a few checkpoints of a common network."""


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A device for training; `None` where a value is unknown."""

    device: str
    """A value of `train.device`, or `GPU0`, `GPU1`, ... in PCI order."""
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
    """Number of compute processes."""
    chosen: bool = False
    """Whether a run with `train.device=auto` uses it."""
    reason: str = msgspec.field(default="", name="why")
    """Why it is chosen, for people. Its key is the one that scripts know from `devices --json`."""


class HostInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The machine itself."""

    name: str
    system: str
    cores: int
    """Number of cores that this process may use."""
    load: float | None
    """Load average of the last minute: the mean number of runnable processes."""
    memory_total: int | None
    """Bytes."""
    memory_free: int | None


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


class TrainingDevice(msgspec.Struct, frozen=True):
    """The device of a run with `train.device=auto`, and why it is chosen."""

    device: str
    reason: str = msgspec.field(name="why")
    """Under the key that scripts know from `doctor --json`."""


class MachineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the machine pane and of `workbench doctor`."""

    host: HostInfo
    devices: tuple[DeviceInfo, ...]
    """The CPU last."""
    training: TrainingDevice
    disk: tuple[DiskPlace, ...]
    versions: dict[str, str | None]
    """Versions of Python and of the main packages; `None` for a package that is not installed."""


def list_devices() -> list[DeviceInfo]:
    """All devices, the CPU last."""
    gpus = list_gpus()
    chosen, reason = training_device("auto", gpus)
    rows = [_gpu_row(gpu) for gpu in gpus]
    if _has_mps():
        rows.append(DeviceInfo(device="mps", kind="mps", name="Apple GPU"))
    rows.append(_cpu_row())
    return [
        msgspec.structs.replace(row, chosen=True, reason=reason) if row.device == chosen else row
        for row in rows
    ]


def training_device(requested: str = "auto", gpus: Sequence[Gpu] | None = None) -> tuple[str, str]:
    """The device that a run with this `train.device` uses (`GPU0`, `mps`, `cpu`, ...), and why, for people.

    As in the supervisor: `CUDA_VISIBLE_DEVICES` is respected if set, else the idle GPU with most free memory is used.
    """
    if requested != "auto":
        return requested, "requested"
    known = list_gpus() if gpus is None else list(gpus)
    usable = visible_gpus(known)
    best = choose_gpu(usable) if cuda_of_torch() else None
    if best is not None:
        only = f"the only GPU, {'idle' if best.idle else 'busy'}"
        return f"GPU{best.index}", only if len(usable) == 1 else "idle" if best.idle else "the least busy"
    if _has_mps():
        return "mps", "Apple GPU"
    if not known:
        return "cpu", "no GPU found"
    return "cpu", "this torch has no CUDA" if usable else "CUDA_VISIBLE_DEVICES hides all GPUs"


def visible_gpus(gpus: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs among `gpus` that `CUDA_VISIBLE_DEVICES` lists; all where it is not set."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return list(gpus)
    names = [name.strip() for name in value.split(",") if name.strip()]
    return [
        g for g in gpus if str(g.index) in names or any(g.uuid.startswith(n) for n in names if n[0] == "G")
    ]


def describe_machine() -> MachineInfo:
    """The current state of the machine."""
    rows = list_devices()
    chosen = next((row for row in rows if row.chosen), rows[-1])
    return MachineInfo(
        host=describe_host(),
        devices=tuple(rows),
        training=TrainingDevice(chosen.device, chosen.reason),
        disk=tuple(list_disk_places()),
        versions=installed_versions(),
    )


def describe_host() -> HostInfo:
    """The host, with its current load and memory."""
    total, free = host_memory()
    return HostInfo(
        name=platform.node(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=usable_cores(),
        load=_load(),
        memory_total=total,
        memory_free=free,
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


def installed_versions() -> dict[str, str | None]:
    """Versions of Python and of the main packages; `None` for a package that is not installed."""
    return {"python": platform.python_version(), **{name: package_build(name) for name in PACKAGES}}


def package_build(package: str) -> str | None:
    """The version of a package, for torch and torchvision including the build (`2.10.0+cpu`)."""
    version = version_of(package)
    if version is None:
        return None
    match = re.search(r"^__version__ = '([^']+)'", _version_file(package), re.MULTILINE)
    return match[1] if match else version


def cuda_of_torch() -> str | None:
    """The CUDA version that the installed torch was built for (`12.8`); `None` without CUDA or without torch."""
    match = re.search(r"^(?:cuda|hip)\b[^=\n]*= *'([\d.]+)", _version_file("torch"), re.MULTILINE)
    return match[1] if match else None


def find_problems() -> list[str]:
    """Problems of this machine for training, each in one line with its fix."""
    conflict = name_conflict()
    conflicts = [conflict] if conflict else []
    return [*conflicts, *_package_problems(), *_gpu_problems(), *_home_problems(), *_logout_problems()]


def _package_problems() -> list[str]:
    torch, vision = package_build("torch"), package_build("torchvision")
    missing = [name for name, version in (("torch", torch), ("torchvision", vision)) if version is None]
    if missing:
        return [f"not installed: {' and '.join(missing)}: pip install torch torchvision"]
    assert torch and vision
    problems = []
    if release_numbers(torch) < OLDEST_TORCH:
        problems.append(
            f"torch {torch} is too old, 2.10 is required: pip install --upgrade torch torchvision"
        )
    return problems + find_build_mismatch(torch, vision, _required_torch())


def find_build_mismatch(torch: str, vision: str, requirements: Sequence[str] = ()) -> list[str]:
    """Why these builds of torch and torchvision are incompatible; empty where they are compatible.

    `requirements`: the version conditions of torchvision on torch (`==2.10.0`, `>=2.14`). Builds of which only one
    has CUDA fail at import: "operator torchvision::nms does not exist".
    """
    unmet = [condition for condition in requirements if not satisfies(release_numbers(torch), condition)]
    if unmet:
        return [
            f"torchvision {vision} requires torch {unmet[0]}, but {torch} is installed: "
            "pip install --upgrade torch torchvision"
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
    """The build of a version: `cpu`, `cu128`, `rocm6.4`; empty where it has none."""
    suffix = version.partition("+")[2]
    return suffix if re.match(r"cpu|cu\d|rocm|xpu", suffix) else ""


def release_numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version: `2.10.0+cpu` → (2, 10, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def satisfies(version: tuple[int, ...], condition: str) -> bool:
    """Whether a version meets `==2.10.0` or `>=2.14`; other kinds of conditions count as met."""
    match = re.fullmatch(r"(==|>=)\s*([\d.]+)", condition.strip())
    if not match:
        return True
    required = release_numbers(match[2])
    compared = (*version, 0, 0, 0)[: len(required)]
    return compared == required if match[1] == "==" else compared >= required


def _required_torch() -> list[str]:
    """The version conditions of the installed torchvision on torch."""
    for line in metadata.requires("torchvision") or []:
        match = re.match(r"torch\s*\(?([^A-Za-z;()]*)\)?\s*(?:;|$)", line)
        if match:
            return [part.strip() for part in match[1].split(",") if part.strip()]
    return []


def _gpu_problems() -> list[str]:
    if not list_gpus() or package_build("torch") is None:
        return []
    built, driver = cuda_of_torch(), driver_cuda()
    if built is None:
        return [
            f"an NVIDIA GPU is available, but torch {package_build('torch')} has no CUDA: "
            "pip install --force-reinstall torch torchvision"
        ]
    if driver and release_numbers(built)[0] > release_numbers(driver)[0]:
        return [
            f"torch is built for CUDA {built}, but the NVIDIA driver supports up to {driver}: update the driver, or "
            f"install a torch for CUDA {driver} (https://pytorch.org/get-started/previous-versions)"
        ]
    return []


def driver_cuda() -> str | None:
    """The newest CUDA version that the NVIDIA driver supports (`12.8`); `None` without a driver."""
    try:
        pynvml.nvmlInit()
        number = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None
    return f"{number // 1000}.{number % 1000 // 10}"


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
    """The model name of this machine's processor."""
    try:
        info = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        info = ""
    match = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    return match[1].strip() if match else platform.processor() or platform.machine()


def _load() -> float | None:
    """The load average of the last minute; `None` where unknown."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def _version_file(package: str) -> str:
    """The content of `version.py`, which builds of torch and torchvision contain; empty without one."""
    try:
        spec = util.find_spec(package)
    except (ImportError, ValueError):
        return ""
    if spec is None or not spec.submodule_search_locations:
        return ""
    try:
        return Path(spec.submodule_search_locations[0], "version.py").read_text(encoding="utf-8")
    except (OSError, IndexError):
        return ""


def _has_mps() -> bool:
    return sys.platform == "darwin" and platform.machine() == "arm64"
