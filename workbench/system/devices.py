"""The devices for training: their names, and which one a run uses. Does not import torch."""

from __future__ import annotations

import msgspec

from workbench.core.errors import UserError
from workbench.core.paths import shared_folder_problem
from workbench.core.text import plural
from workbench.system.cpu import cpu_name, describe_cores, load_average, usable_cores
from workbench.system.cuda_order import VARIABLE
from workbench.system.device_names import device_names
from workbench.system.gpu import (
    GpuInventory,
    has_cuda_library,
    has_mps,
    may_have_other_gpu,
    other_devices,
    read_inventory,
)
from workbench.system.memory import host_memory
from workbench.system.nvml import DriverState, Gpu
from workbench.system.packages import cuda_of_torch, package_build, release_numbers


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A device for training; `None` where a value is unknown."""

    device: str
    """A value of `train.device`: `cuda:0` (CUDA's number), the start of a UUID, `mps` or `cpu`."""
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
    index: int | None = None
    """The index of a GPU in PCI order, as `nvidia-smi` shows it."""
    hidden: bool = False
    """Whether `CUDA_VISIBLE_DEVICES` hides it."""
    runs: tuple[str, ...] = ()
    """The ids of the runs that hold it."""
    temperature: int | None = None
    """°C."""
    power: float | None = None
    """Watts."""


class TrainingDevice(msgspec.Struct, frozen=True):
    """The device that a run uses, and why."""

    device: str
    reason: str = msgspec.field(name="why")
    """Under the key that scripts know from `doctor --json`."""
    warning: str = ""
    """Why the run trains on the CPU although there are GPUs, in one line; empty if it does not."""


def list_devices(inventory: GpuInventory | None = None) -> list[DeviceInfo]:
    """All devices, the CPU last."""
    known = inventory or read_inventory()
    chosen = training_device("auto", known)
    rows = [_gpu_row(gpu, known) for gpu in known.driver.gpus if not gpu.is_partitioned]
    if has_mps():
        rows.append(DeviceInfo(device="mps", kind="mps", name="Apple GPU"))
    rows.append(_cpu_row())
    return [
        msgspec.structs.replace(row, chosen=True, reason=chosen.reason)
        if row.device == chosen.device
        else row
        for row in rows
    ]


def device_state(row: DeviceInfo) -> str:
    """`2 processes, held by RUN`: what happens on a GPU, for people; empty for an idle one and the CPU."""
    count = row.processes or 0
    processes = plural(count, "process") if count else ""
    held = f"held by {', '.join(row.runs)}" if row.runs else ""
    return ", ".join(part for part in (processes, held) if part)


def training_device(requested: str = "auto", inventory: GpuInventory | None = None) -> TrainingDevice:
    """The device that a run with this `train.device` uses. A device that is not there has a `warning`."""
    known = inventory or read_inventory()
    try:
        gpus = find_gpus(requested, len(device_names(requested)), known)
    except UserError as error:
        return TrainingDevice(requested, "not available", str(error))
    if not gpus:
        return _device_without_gpu(requested, known)
    gpu = gpus[0]
    problem = cuda_problem(known)
    if problem:
        return TrainingDevice("cpu", f"torch can't use {known.name(gpu)}", _fallback_warning(known, problem))
    state = known.state(gpu)
    if requested not in {"auto", "cuda"}:
        return TrainingDevice(known.name(gpu), "requested" if state == "idle" else f"requested, {state}")
    only = "the only GPU, " if len(known.usable) == 1 else ""
    reason = (
        state if only or state == "idle" else f"{state}; the other GPUs have less free memory or more runs"
    )
    return TrainingDevice(known.name(gpu), only + reason)


def _device_without_gpu(requested: str, known: GpuInventory) -> TrainingDevice:
    """The device of a run for which no GPU of the driver's list is chosen."""
    if requested in {"cpu", "mps"}:
        return TrainingDevice(requested, "requested")
    if requested == "auto" and has_mps():
        return TrainingDevice("mps", "Apple GPU")
    if known.driver.state in {DriverState.SILENT, DriverState.FAILED}:
        text = f"{known.driver.problem}; the run uses the GPU that CUDA offers, if any, else the CPU"
        return TrainingDevice(
            "cpu" if requested == "auto" else requested, "the NVIDIA driver is not usable", text
        )
    if requested != "auto":
        return TrainingDevice(requested, "requested")
    hidden = bool(known.driver.gpus)
    if not hidden:
        return TrainingDevice("cpu", "no GPU found")
    return TrainingDevice("cpu", f"{VARIABLE} hides all GPUs", _visibility_warning(known))


def find_gpu(requested: str, inventory: GpuInventory) -> Gpu | None:
    """The GPU of a run with this `train.device`; `None` for other devices, and where CUDA has to find one.

    Raises `UserError` for a device that this host does not have, as far as this is known without torch.
    """
    if requested == "auto":
        return inventory.choose()
    if requested in {"cpu", "mps"}:
        if requested not in other_devices():
            raise UserError(
                f"no device {requested} on this host; available: {', '.join(_names(inventory))} (or auto)"
            )
        return None
    if requested != "cuda" and inventory.driver.gpus:
        return inventory.find(requested)
    gpu = inventory.choose()
    if gpu is None and not (requested.startswith("cuda") and _cuda_may_find_one(inventory)):
        reason = f": {inventory.driver.problem}" if inventory.driver.problem else _hidden_text(inventory)
        available = f"available: {', '.join(_names(inventory))} (or auto)"
        raise UserError(f"no device {requested} on this host{reason}; {available}")
    return gpu


def find_gpus(requested: str, count: int, inventory: GpuInventory) -> tuple[Gpu, ...]:
    """The GPUs of a run of `count` processes with this `train.device`, one for each of them.

    Empty for other devices, and where CUDA has to find them. Raises `UserError` as `find_gpu`, and for too few GPUs.
    """
    names = device_names(requested)
    found = [find_gpu(name, inventory) for name in names]
    gpus = tuple(gpu for gpu in found if gpu is not None)
    if len(names) > 1 or count == 1 or not gpus:
        return gpus
    if len(inventory.usable) < count:
        have = plural(len(inventory.usable), "GPU")
        raise UserError(
            f"{count} processes need {count} GPUs, and this host has {have} ({', '.join(inventory.names())}); "
            "processes on the CPU need train.device=cpu"
        )
    return inventory.choose_several(count)


def _cuda_may_find_one(inventory: GpuInventory) -> bool:
    return inventory.driver.state is DriverState.SILENT or (
        not inventory.driver.gpus and may_have_other_gpu()
    )


def _names(inventory: GpuInventory) -> list[str]:
    return [*inventory.names(), *other_devices()]


def _hidden_text(inventory: GpuInventory) -> str:
    value = inventory.visible.value
    return "" if value is None or not inventory.driver.gpus else f" with {VARIABLE}={value}"


def cuda_problem(inventory: GpuInventory) -> str:
    """Why torch can't use the driver's GPUs, with the fix; empty if it can, as far as this is known without torch."""
    if not inventory.driver.gpus or package_build("torch") is None:
        return ""
    built, driver = cuda_of_torch(), inventory.driver.cuda
    if built is None:
        return f"torch {package_build('torch')} has no CUDA: pip install --force-reinstall torch torchvision"
    if not has_cuda_library():
        return (
            "libcuda.so.1 can't be loaded: start the container with the NVIDIA runtime and "
            "NVIDIA_DRIVER_CAPABILITIES=compute,utility, or reinstall the driver"
        )
    if driver and release_numbers(built)[0] > release_numbers(driver)[0]:
        return (
            f"torch is built for CUDA {built}, but the NVIDIA driver supports up to {driver}: update the driver, or "
            f"install a torch for CUDA {driver} (https://pytorch.org/get-started/previous-versions)"
        )
    return ""


def _fallback_warning(known: GpuInventory, problem: str) -> str:
    count = len(known.usable)
    gpus = "the GPU" if count == 1 else f"the {count} GPUs"
    return f"the run trains on the CPU, because torch can't use {gpus} of the NVIDIA driver: {problem}"


def _visibility_warning(known: GpuInventory) -> str:
    """What is wrong with `CUDA_VISIBLE_DEVICES`; empty where it hides all GPUs on purpose."""
    value = known.visible.value or ""
    if not known.visible.problem or value.strip() in {"", "-1"}:
        return ""
    return f"{VARIABLE}={value}: {known.visible.problem}"


def gpu_problems(inventory: GpuInventory | None = None) -> list[str]:
    """Problems of driver, CUDA, `CUDA_VISIBLE_DEVICES` and `WORKBENCH_SHARED`, each in one line."""
    known = inventory or read_inventory()
    problem = cuda_problem(known)
    fallback = f"runs train on the CPU, although there is an NVIDIA GPU: {problem}" if problem else ""
    problems = (known.driver.problem, fallback, _visibility_warning(known), shared_folder_problem())
    return [text for text in problems if text]


def device_warnings(requested: str, inventory: GpuInventory | None = None) -> list[str]:
    """The warning to show before a run with this `train.device` starts."""
    if requested in {"cpu", "mps"}:
        return []
    known = inventory or read_inventory()
    warning = training_device(requested, known).warning or _visibility_warning(known)
    return [warning] if warning else []


def describe_visibility(inventory: GpuInventory) -> str:
    """`CUDA_VISIBLE_DEVICES=2,0: cuda:0 is GPU 2, cuda:1 is GPU 0`; empty where it is not set or there is no GPU."""
    value = inventory.visible.value
    if value is None or not inventory.driver.gpus:
        return ""
    shown = [f"{inventory.name(gpu)} is {_physical_name(gpu)}" for gpu in inventory.visible.gpus]
    parts = [", ".join(shown), inventory.visible.problem]
    return f"{VARIABLE}={value}: {'; '.join(part for part in parts if part)}"


def _physical_name(gpu: Gpu) -> str:
    return f"a MIG slice of GPU {gpu.index}" if gpu.parent else f"GPU {gpu.index}"


def _gpu_row(gpu: Gpu, known: GpuInventory) -> DeviceInfo:
    return DeviceInfo(
        device=known.name(gpu), kind="cuda", name=gpu.name, uuid=gpu.uuid, memory_total=gpu.memory_total,
        memory_free=gpu.memory_free, load=gpu.load, processes=len(gpu.pids), index=gpu.index,
        hidden=gpu not in known.usable, runs=tuple(claim.run for claim in known.claims.get(gpu.uuid, ())),
        temperature=gpu.temperature, power=gpu.power,
    )  # fmt: skip


def _cpu_row() -> DeviceInfo:
    total, free = host_memory()
    load = load_average()
    share = None if load is None else min(1.0, load / usable_cores())
    name = f"{cpu_name()}, {describe_cores()}"
    return DeviceInfo(device="cpu", kind="cpu", name=name, memory_total=total, memory_free=free, load=share)
