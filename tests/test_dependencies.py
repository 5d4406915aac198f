"""Every third-party package that `workbench` imports is a declared dependency."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {"export": "workbench/export/"}
"""Extras by the folder of the modules that may import what they declare."""


def plain(name: str) -> str:
    """A distribution's name without version, in the form that compares."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; ]", name)[0]).lower()


def imports(path: Path) -> Iterator[str]:
    """Top-level packages that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def undeclared(path: Path) -> set[str]:
    """Third-party packages that a file imports and no dependency declares."""
    declared = set(map(plain, PROJECT["dependencies"]))
    for extra, folder in EXTRAS.items():
        if path.relative_to(ROOT).as_posix().startswith(folder):
            declared |= set(map(plain, PROJECT["optional-dependencies"][extra]))
    foreign = set(imports(path)) - sys.stdlib_module_names - {"workbench"}
    names = packages_distributions()
    return {package for package in foreign if not declared & set(map(plain, names.get(package, [package])))}


FILES = sorted((ROOT / "workbench").rglob("*.py"))


def test_every_import_is_declared() -> None:
    assert {str(path): found for path in FILES if (found := undeclared(path))} == {}


def test_an_extra_is_only_for_its_own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    for folder in ("workbench/export", "workbench/runs"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text(
            "def f():\n    import onnx\n    from scipy.io import loadmat\n"
        )
    assert undeclared(tmp_path / "workbench/export/a.py") == set()
    assert undeclared(tmp_path / "workbench/runs/a.py") == {"onnx"}
