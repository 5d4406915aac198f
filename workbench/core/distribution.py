"""The installed distribution: its name on the package index, its version, and how to install its extras.

The distribution is called `torch-workbench`; the command and the import package are called `workbench`. The
distribution `workbench` on the package index belongs to another project.
"""

from __future__ import annotations

import shlex
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

NAME = "torch-workbench"
IMPORT_NAME = "workbench"
_EARLIER_SUMMARY = "A keyboard-driven terminal workbench for training image classifiers with PyTorch over SSH"
"""Summary of version 0.1.0, the only one that was installed from a checkout under the name `workbench`."""
_ROOT = Path(__file__).resolve().parents[2]


def checkout() -> Path | None:
    """The source checkout that the running code is imported from; `None` for an installed wheel."""
    return _ROOT if _project().get("name") == NAME else None


def version_of(package: str) -> str | None:
    """Version of an installed package; of `workbench` that of the running code. `None`: not installed."""
    project = _project() if package == IMPORT_NAME else {}
    if project.get("name") == NAME:
        # The metadata of an editable install keep the version at the time of installation.
        return str(project["version"])
    try:
        return metadata.version(NAME if package == IMPORT_NAME else package)
    except metadata.PackageNotFoundError:
        return None


def install_hint(extra: str) -> str:
    """The command that installs one of our extras, from the source checkout where the code runs from one."""
    return _pip_install(f"[{extra}]")


def name_conflict() -> str | None:
    """One line about another project's distribution `workbench` in this environment; `None` where there is none.

    Both contain an import package `workbench`: the one installed last overwrites files of the other.
    """
    for other in metadata.distributions(name=IMPORT_NAME):
        if other.metadata["Summary"] != _EARLIER_SUMMARY:
            return (
                f"the distribution '{IMPORT_NAME}' {other.version} of another project is installed and overwrites our "
                f"files: pip uninstall {IMPORT_NAME}, then {_pip_install('', '--force-reinstall --no-deps ')}"
            )
    return None


def _pip_install(extras: str, options: str = "") -> str:
    source = checkout()
    if source is None:
        return f"pip install {options}{shlex.quote(NAME + extras)}"
    return f"pip install {options}-e {shlex.quote(str(source) + extras)}"


def _project() -> dict[str, Any]:
    """The `[project]` table of the pyproject.toml beside the import package; empty where there is none."""
    try:
        document = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    project = document.get("project")
    return project if isinstance(project, dict) else {}
