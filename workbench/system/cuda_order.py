"""Which GPUs CUDA uses, and its numbers for them: `cuda:N`, by `CUDA_VISIBLE_DEVICES` and `CUDA_DEVICE_ORDER`.

The driver's library numbers GPUs by PCI address, CUDA by default by speed. The rule for `CUDA_VISIBLE_DEVICES` is in
the CUDA C++ programming guide ("CUDA Environment Variables") and, for repeated names, in `torch.cuda`.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.system.nvml import Gpu

VARIABLE = "CUDA_VISIBLE_DEVICES"
MIN_PREFIX = 12
"""Characters of the shortest prefix of a UUID that is shown: `GPU-` and eight digits."""


@dataclass(frozen=True)
class VisibleGpus:
    """The GPUs that CUDA uses: `gpus[n]` is `cuda:n`."""

    gpus: tuple[Gpu, ...]
    value: str | None = None
    """`CUDA_VISIBLE_DEVICES`; `None` if it is not set."""
    problem: str = ""
    """Why CUDA does not use all that the variable names, in one line; empty where it does."""


def visible_gpus(gpus: Sequence[Gpu], environment: Mapping[str, str] | None = None) -> VisibleGpus:
    """The GPUs among `gpus` that CUDA uses, in its order."""
    variables = os.environ if environment is None else environment
    by_order = _in_cuda_order(gpus, variables)
    whole = [gpu for gpu in by_order if not gpu.parent]
    slices = [gpu for gpu in by_order if gpu.parent]
    value = variables.get(VARIABLE)
    if value is None:
        usable = [gpu for gpu in whole if not gpu.is_partitioned]
        return VisibleGpus(tuple(usable or slices[:1]))
    names = [name.strip() for name in value.split(",")]
    names = list(itertools.takewhile(lambda name: _is_of_kind(name, _kind(names[0])), names))
    identities = [name if _kind(name) else _number(name) for name in names]
    if len(set(identities)) < len(identities):
        return VisibleGpus((), value, "it names a GPU twice, so CUDA uses none")
    found: list[Gpu] = []
    for name in names:
        gpu = _find(name, whole, slices)
        if gpu is None:
            break
        if gpu in found:
            return VisibleGpus((), value, "it names a GPU twice, so CUDA uses none")
        if gpu.parent:
            found = found or [gpu]
            break
        found.append(gpu)
    return VisibleGpus(tuple(found), value, _explain(value, found))


def _explain(value: str, found: Sequence[Gpu]) -> str:
    """Why fewer GPUs are visible than `value` names."""
    if not value.strip():
        return "it is empty, which hides all GPUs"
    names = value.split(",")
    if len(found) == len(names):
        return ""
    if any(gpu.parent for gpu in found):
        return "CUDA uses one MIG slice at a time, the first"
    unusable = names[len(found)].strip()
    rest = "all GPUs are hidden" if not found else "the GPUs after it are hidden"
    return f"CUDA's list ends at '{unusable}', which is not a valid GPU here: {rest}"


def _in_cuda_order(gpus: Sequence[Gpu], variables: Mapping[str, str]) -> list[Gpu]:
    """By PCI address, or by speed where the models differ."""
    if variables.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return list(gpus)
    speeds = {gpu.uuid: gpu.speed for gpu in gpus if not gpu.parent}
    if len({gpu.name for gpu in gpus if not gpu.parent}) < 2 or 0 in speeds.values():
        return list(gpus)
    return sorted(gpus, key=lambda gpu: -speeds.get(gpu.parent or gpu.uuid, 0))


def _find(name: str, whole: Sequence[Gpu], slices: Sequence[Gpu]) -> Gpu | None:
    """The GPU that one element of the list names; `None` for a name that CUDA can't use."""
    if _kind(name) == "":
        number = _number(name)
        if not 0 <= number < len(whole):
            return None
        gpu = whole[number]
        return next((part for part in slices if part.parent == gpu.uuid), None) if gpu.is_partitioned else gpu
    matches = [gpu for gpu in (*whole, *slices) if name in {gpu.uuid, gpu.instance}] or [
        gpu for gpu in (*whole, *slices) if gpu.uuid.startswith(name)
    ]
    if len(matches) != 1:
        return None
    return _find(str(whole.index(matches[0])), whole, slices) if matches[0].is_partitioned else matches[0]


def _kind(name: str) -> str:
    """The kind of names in a list, which the first one decides: `GPU-`, `MIG-`, or empty for numbers."""
    return next((prefix for prefix in ("GPU-", "MIG-") if name.startswith(prefix)), "")


def _is_of_kind(name: str, kind: str) -> bool:
    return _kind(name) == kind and (kind != "" or _number(name) >= 0)


def _number(name: str) -> int:
    """The number at the start of a name, as C's `strtoul` reads it; -1 without one."""
    match = re.match(r"[+-]?\d+", name)
    return int(match[0]) if match else -1


def short_uuid(gpu: Gpu, gpus: Sequence[Gpu]) -> str:
    """The shortest prefix of a GPU's UUID that names no other one, of at least `MIN_PREFIX` characters."""
    others = [other.uuid for other in gpus if other.uuid != gpu.uuid]
    for length in range(min(MIN_PREFIX, len(gpu.uuid)), len(gpu.uuid)):
        prefix = gpu.uuid[:length]
        if not any(uuid.startswith(prefix) for uuid in others):
            return prefix
    return gpu.uuid
