"""Available memory of this process and its host."""

from __future__ import annotations

import os
import re
import resource
import sys
from pathlib import Path

from workbench.core.errors import NotEnoughMemory, RunFailed
from workbench.system import cgroups

MEMORY_SHARE = 0.5
"""Fraction of the free memory of a device or host that data may use; the rest is for the model and other processes."""

_LIMIT_FILES = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}
"""The files with limit and usage, by version of control groups."""

_OUT_OF_MEMORY = (
    "out of memory", "not enough memory", "can't allocate memory", "std::bad_alloc", "_STATUS_ALLOC_FAILED",
)  # fmt: skip
"""Messages of a plain `RuntimeError` by torch's CPU allocator, MPS, C++, cuBLAS and cuDNN; CUDA has its own type."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory of the host or a device ran out. Does not import torch."""
    if isinstance(error, RunFailed):  # already classified
        return isinstance(error, NotEnoughMemory)
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)


def host_memory() -> tuple[int | None, int | None]:
    """Total and available memory in bytes, within the limits of control groups; `None` where unknown."""
    try:
        values = _parse_numbers(Path("/proc/meminfo").read_text())
        total, free = 1024 * values["MemTotal"], 1024 * values["MemAvailable"]
    except (OSError, KeyError):
        return _total_by_sysconf(), None
    for limit, used in _group_limits(cgroups.ROOT, cgroups.membership()):
        if limit < total:
            total, free = limit, min(free, max(0, limit - used))
    return total, free


def peak_process_bytes() -> int | None:
    """The peak memory of this process in bytes; `None` where the system does not report it."""
    try:
        match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return 1024 * int(match[1]) if match else None


def fits_in_budget(count: int, free: int | None = None) -> bool:
    """Whether `count` bytes of data fit into `MEMORY_SHARE` of `free` bytes (default: free host memory).

    True where the free memory is unknown.
    """
    if free is None:
        free = host_memory()[1]
    return free is None or count < MEMORY_SHARE * free


def _group_limits(root: Path, membership: str) -> list[tuple[int, int]]:
    """Limit and usage in bytes of all control groups below `root` that contain this process, with their ancestors.

    The page cache does not count as used: the kernel frees it on demand.
    """
    groups = []
    for version, folder in cgroups.group_folders("memory", root, membership):
        limit, used = (_read_number(folder / name) for name in _LIMIT_FILES[version])
        if limit is not None and used is not None:
            groups.append((limit, max(0, used - _page_cache_bytes(folder))))
    return groups


def _page_cache_bytes(folder: Path) -> int:
    try:
        values = _parse_numbers((folder / "memory.stat").read_text())
    except OSError:
        return 0
    return values.get("inactive_file", 0) + values.get("active_file", 0)


def _parse_numbers(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"^(\w+):?\s+(\d+)", text, re.MULTILINE)}


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _total_by_sysconf() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def address_space_left() -> int:
    """Bytes that this process may still map within its address space limit (`ulimit -v`)."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return max(0, limit - used)
