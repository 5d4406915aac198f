"""The name that is installed, its version, and the commands that people are given for it."""

from __future__ import annotations

import importlib
import shlex
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from workbench.cli.main import run
from workbench.core import distribution
from workbench.system import machine_info

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts the metadata of a distribution into a folder that comes first on the path."""
    place = tmp_path / "site-packages"
    place.mkdir()
    monkeypatch.syspath_prepend(place)

    def put(name: str, version: str, summary: str) -> None:
        info = place / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ("Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", f"Summary: {summary}", "")
        (info / "METADATA").write_text("\n".join(lines))
        importlib.invalidate_caches()

    return put


@pytest.fixture
def wheel(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the code ran from a site-packages folder, where nothing is installed that `install` did not put there."""
    monkeypatch.setattr(distribution, "_ROOT", tmp_path / "site-packages")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site-packages")])


def test_the_distribution_has_our_name_and_its_command_keeps_its_own() -> None:
    assert PROJECT["name"] == distribution.NAME == "torch-workbench"
    assert PROJECT["scripts"] == {"workbench": "workbench.cli.main:main"}
    assert f"{distribution.NAME}[export,sweep,parquet,timm]" in PROJECT["optional-dependencies"]["dev"]


def test_a_checkout_is_installed_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert distribution.checkout() == ROOT
    assert shlex.split(distribution.install_hint("export")) == ["pip", "install", "-e", f"{ROOT}[export]"]
    spaced = tmp_path / "my code"
    spaced.mkdir()
    (spaced / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    monkeypatch.setattr(distribution, "_ROOT", spaced)
    assert shlex.split(distribution.install_hint("export"))[-1] == f"{spaced}[export]"


@pytest.mark.usefixtures("wheel")
def test_a_wheel_is_installed_by_its_name(install: Install) -> None:
    install("torch-workbench", "3.4.5", "whatever")
    assert distribution.checkout() is None
    assert distribution.install_hint("export") == "pip install 'torch-workbench[export]'"
    assert distribution.version_of("workbench") == "3.4.5"


@pytest.mark.parametrize(
    "text", ["", "[project", "project = 1", '[project]\nname = "another"\nversion = "1"\n']
)
def test_the_pyproject_of_another_project_is_not_ours(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.setattr(distribution, "_ROOT", tmp_path)
    assert distribution.checkout() is None


@pytest.mark.usefixtures("wheel")
def test_the_version_of_another_projects_distribution_is_not_ours(install: Install) -> None:
    install("workbench", "9.9", "A web application")
    assert distribution.version_of("workbench") is None


def test_a_checkout_has_the_version_in_its_pyproject(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"{PROJECT['version']}\n"
    assert machine_info.installed_versions()["workbench"] == PROJECT["version"]
    assert distribution.version_of("textual") == metadata.version("textual")
    assert distribution.version_of("no-such-package-anywhere") is None


def test_another_projects_distribution_is_reported_by_doctor(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("workbench", "9.9", "A web application")
    assert run(["doctor"]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "another project" in line]
    assert "'workbench' 9.9" in line and "pip uninstall workbench, then pip install" in line
    assert f"-e {shlex.quote(str(ROOT))}" in line


@pytest.mark.usefixtures("wheel")
def test_a_wheel_is_put_back_by_its_name(install: Install) -> None:
    install("workbench", "9.9", "A web application")
    conflict = distribution.name_conflict()
    assert conflict and conflict.endswith("pip install --force-reinstall --no-deps torch-workbench")


def test_our_distributions_do_not_conflict(install: Install) -> None:
    assert distribution.name_conflict() is None
    install("torch-workbench", "3.4.5", "whatever")
    install("workbench", "0.1.0", PROJECT["description"])
    assert distribution.name_conflict() is None
