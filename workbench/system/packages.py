"""The installed packages: versions, builds, and whether torch and torchvision fit together. Does not import torch.

The compatibility of torch and torchvision is determined from package metadata and files: importing them takes
seconds, and fails for incompatible builds.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path

from workbench.core.distribution import version_of

PACKAGES = ("workbench", "torch", "torchvision", "textual", "plotext", "pillow")
OLDEST_TORCH = (2, 10)


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


def package_problems() -> list[str]:
    """Missing and incompatible packages, each in one line with its fix."""
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
