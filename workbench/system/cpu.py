"""CPU cores: how many this process may use, and whether other processes compete for them."""

from __future__ import annotations

import math
import os
import platform
import re
from pathlib import Path

from workbench.core.text import plural
from workbench.system import cgroups


def usable_cores() -> int:
    """Number of cores that this process may use: those of its affinity, within the CPU quota of its control groups.

    A quota of 1.5 cores counts as 2: a second thread then runs half of the time.
    """
    quota = cpu_quota()
    cores = _affinity_cores()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def cpu_quota() -> float | None:
    """The CPU time that this process may use, in cores: the smallest quota of its control groups and their ancestors.

    `None` without a quota.
    """
    return _smallest_quota(cgroups.ROOT, cgroups.membership())


def describe_cores() -> str:
    """`4 cores`; with a quota `1.5 of 16 cores (CPU quota)`."""
    quota, cores = cpu_quota(), _affinity_cores()
    if quota is not None and quota < cores:
        return f"{quota:.3g} of {cores} cores (CPU quota)"
    return plural(cores, "core")


def core_budget() -> str:
    """The cores and the quota that a measured choice of threads is valid for: `16`, or `16/1.5` with a quota."""
    quota, cores = cpu_quota(), _affinity_cores()
    return str(cores) if quota is None or quota >= cores else f"{cores}/{quota:.3g}"


def _affinity_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _smallest_quota(root: Path, membership: str) -> float | None:
    folders = cgroups.group_folders("cpu", root, membership)
    quotas = [_quota_v2(folder) if version == 2 else _quota_v1(folder) for version, folder in folders]
    return min((quota for quota in quotas if quota is not None and quota > 0), default=None)


def _quota_v1(folder: Path) -> float | None:
    """`cpu.cfs_quota_us` is -1 without a limit."""
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None


def _quota_v2(folder: Path) -> float | None:
    """`cpu.max` is `QUOTA PERIOD`, or `max PERIOD` without a limit."""
    try:
        quota, period = (int(part) for part in (folder / "cpu.max").read_text().split())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None


def cores_are_contended() -> bool:
    """Whether fewer than three quarters of the cores that this process may use are idle.

    By the load average of the last minute, or the number of runnable threads now where that is higher.
    """
    idle = (os.cpu_count() or 1) - max(_load(), _running() - 1)
    return idle < 0.75 * usable_cores()


def load_average() -> float | None:
    """The load average of the last minute: the mean number of runnable processes; `None` where unknown."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def _load() -> float:
    return load_average() or 0.0


def _running() -> int:
    """Runnable threads of this host, including this one; 1 where unknown."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return 1


def cpu_name() -> str:
    """The model name of this machine's processor."""
    try:
        info = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        info = ""
    match = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    return match[1].strip() if match else platform.processor() or platform.machine()
