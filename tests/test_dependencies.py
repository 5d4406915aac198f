"""Every third-party package that `workbench` imports is a declared dependency."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {
    "export": "workbench/export/",
    "sweep": "workbench/sweeps/",
    "parquet": "workbench/datasets/parquet_images.py",
    "timm": "workbench/models/timm_models.py",
}
"""Extras, by the folder of the modules that may import their packages."""
INTEGRATED = {"keras", "lightning", "lightning_fabric", "pytorch_lightning", "transformers"}
"""Libraries that modules of `workbench/integrations` import for users who have them."""


def normalized_name(name: str) -> str:
    """The normalized name of a distribution, without version and extras."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; ]", name)[0]).lower()


def imports(path: Path) -> Iterator[str]:
    """The top-level packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@cache
def installed() -> Mapping[str, list[str]]:
    """The distributions that bring each top-level package; reading them takes seconds."""
    return packages_distributions()


def undeclared(path: Path) -> set[str]:
    """Third-party packages that a file imports without a declared dependency."""
    declared = set(map(normalized_name, PROJECT["dependencies"]))
    for extra, folder in EXTRAS.items():
        if path.relative_to(ROOT).as_posix().startswith(folder):
            declared |= set(map(normalized_name, PROJECT["optional-dependencies"][extra]))
    if path.relative_to(ROOT).as_posix().startswith("workbench/integrations/"):
        declared |= set(map(normalized_name, INTEGRATED))
    foreign = set(imports(path)) - sys.stdlib_module_names - {"workbench"}
    names = installed()
    return {
        package
        for package in foreign
        if not declared & set(map(normalized_name, names.get(package, [package])))
    }


FILES = sorted((ROOT / "workbench").rglob("*.py"))


def test_every_import_is_declared() -> None:
    assert {str(path): names for path in FILES if (names := undeclared(path))} == {}


def test_an_extra_is_only_for_its_own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    for folder in ("workbench/export", "workbench/runs"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text(
            "def f():\n    import onnx\n    from sklearn.datasets import load_digits\n"
        )
    assert undeclared(tmp_path / "workbench/export/a.py") == set()
    assert undeclared(tmp_path / "workbench/runs/a.py") == {"onnx"}
