"""How much memory this process may still take."""

from __future__ import annotations

import os
import re
import resource
import sys
from pathlib import Path

from workbench.core.errors import NotEnoughMemory, RunFailed

SHARE = 0.5
"""Of the free memory of a device or host, what data may take: the rest is for the model and for others."""

_GROUPS = Path("/sys/fs/cgroup")
_MOUNTED = (("0", "", "memory.max", "memory.current"),
            ("memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"))  # fmt: skip
"""How a control group's line begins in /proc/self/cgroup, where it is mounted, and its files (version 2 and 1)."""

_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "std::bad_alloc")
"""What torch's CPU allocator, MPS and C++ say in a plain `RuntimeError`; CUDA has a type of its own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, of the host or of a device. Does not import torch."""
    if isinstance(error, RunFailed):  # says already what can't be helped
        return isinstance(error, NotEnoughMemory)
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)


def host_memory() -> tuple[int | None, int | None]:
    """Bytes of memory and what is available of it, within the control groups' limits; `None` where unknown."""
    try:
        said = _numbers(Path("/proc/meminfo").read_text())
        total, free = 1024 * said["MemTotal"], 1024 * said["MemAvailable"]
    except (OSError, KeyError):
        return _total_by_sysconf(), None
    for limit, used in _limits(_GROUPS, _membership()):
        if limit < total:
            total, free = limit, min(free, max(0, limit - used))
    return total, free


def fits(count: int, free: int | None = None) -> bool:
    """Whether so many bytes of data fit into their share of `free`, or of this host's memory; yes where unknown."""
    if free is None:
        free = host_memory()[1]
    return free is None or count < SHARE * free


def _membership() -> str:
    try:
        return Path("/proc/self/cgroup").read_text()
    except OSError:
        return ""


def _limits(root: Path, membership: str) -> list[tuple[int, int]]:
    """Limit and use of every control group below `root` that this process is in, the groups above it included.

    What the page cache holds of files counts as free: it is given up when somebody wants the room.
    """
    found = []
    for line in membership.splitlines():
        number, kinds, path = (*line.split(":", 2), "", "")[:3]
        for kind, mount, limit_name, used_name in _MOUNTED:
            if kind not in (*kinds.split(","), number):
                continue
            place = root / mount / path.strip("/")
            for folder in (place, *place.parents):
                if not folder.is_relative_to(root / mount):
                    break
                limit, used = _number(folder / limit_name), _number(folder / used_name)
                if limit is not None and used is not None:
                    found.append((limit, max(0, used - _cached(folder))))
    return found


def _cached(folder: Path) -> int:
    try:
        said = _numbers((folder / "memory.stat").read_text())
    except OSError:
        return 0
    return said.get("inactive_file", 0) + said.get("active_file", 0)


def _numbers(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"^(\w+):?\s+(\d+)", text, re.MULTILINE)}


def _number(path: Path) -> int | None:
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
    """Bytes that this process may still map before a limit of its own (`ulimit -v`) is reached."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return max(0, limit - used)
