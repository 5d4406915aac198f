"""When memory runs short: what was wanted, what is free, and what would fit."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from workbench import text
from workbench.memory import address_space_left, host_memory

UNITS = {
    "bytes": 1,
    "KiB": 1 << 10,
    "KB": 1 << 10,
    "MiB": 1 << 20,
    "MB": 1 << 20,
    "GiB": 1 << 30,
    "GB": 1 << 30,
}
WANTED = re.compile(r"(?:[Tt]ried to allocate|Unable to allocate) ([\d.]+) (\w+)")
FREE = re.compile(r"of which ([\d.]+) (\w+) is free")
SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "std::bad_alloc")


@dataclass(frozen=True)
class Shortage:
    """Bytes wanted and free at the moment when memory ran out, as far as somebody said so."""

    wanted: int | None
    free: int | None

    def __str__(self) -> str:
        wanted = None if self.wanted is None else f"{text.size(self.wanted)} more were wanted"
        free = None if self.free is None else f"{text.size(self.free)} were free"
        return ", ".join(part for part in (wanted, free) if part) or "nobody says how much was wanted"


def shortage(error: BaseException, device: torch.device) -> Shortage | None:
    """What an error tells of memory that ran short on `device` or the host; `None` for any other error."""
    said = str(error)
    if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not any(s in said for s in SIGNS):
        return None
    free = _bytes(FREE, said)
    return Shortage(_bytes(WANTED, said), free_memory(device) if free is None else free)


def _bytes(pattern: re.Pattern[str], said: str) -> int | None:
    found = pattern.search(said)
    if found is None or found[2] not in UNITS:
        return None
    return int(float(found[1]) * UNITS[found[2]])


def free_memory(device: torch.device) -> int | None:
    """Bytes that could still be had on `device`; on the CPU within the limits of control group and process."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    _, free = host_memory()
    return free if free is None else min(free, address_space_left())


def fitting(batch: int, short: Shortage, free: int | None) -> int:
    """The batch size (a power of two, at most a half of `batch`) that should fit, with `free` bytes free before it.

    The step that failed had taken what was free before it and not at the end, and wanted more: a lower bound of
    what it needs, taken as proportional to its examples.
    """
    limit = max(1, batch // 2)
    if short.wanted is not None and short.free is not None and free is not None:
        needed = max(0, free - short.free) + short.wanted
        limit = min(limit, int(batch * free / needed)) if needed > free else limit
    return 1 << (max(1, limit).bit_length() - 1)
