"""Control groups of this process, of both versions: containers and job schedulers limit memory and CPUs by them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def membership() -> str:
    """The content of /proc/self/cgroup; empty without it."""
    try:
        return Path("/proc/self/cgroup").read_text()
    except OSError:
        return ""


def group_folders(controller: str, root: Path, membership: str) -> Iterator[tuple[int, Path]]:
    """The version (1 or 2) and folder of every group with `controller` that contains this process, with its ancestors.

    A container often sees its own group as the root of the hierarchy, while `membership` has the host's path: the
    root is always among the results, and folders that do not exist are too.
    """
    for line in membership.splitlines():
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controller in controllers.split(","):
            mounts, version = (root / controller, root / controllers), 1
        elif number == "0" and not controllers:
            mounts, version = (root, root / "unified"), 2
        else:
            continue
        for mount in dict.fromkeys(mounts):
            group = mount / path.strip("/")
            for folder in (group, *group.parents):
                if not folder.is_relative_to(mount):
                    break
                yield version, folder
