"""Information about this machine, and about torch without importing it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from workbench.system import machine_info, packages
from workbench.system.cpu import describe_cores

GB = 10**9


def test_the_machine_survives_json() -> None:
    info = machine_info.describe_machine()
    assert msgspec.json.decode(msgspec.json.encode(info), type=machine_info.MachineInfo) == info
    assert info.host.cores == machine_info.usable_cores() >= 1
    assert info.host.memory_total and info.host.memory_free
    assert info.host.memory_total > info.host.memory_free > 0
    assert {place.content for place in info.disk} == {"runs", "data", "weights"}
    assert all(place.free and place.total and 0 < place.free <= place.total for place in info.disk)
    assert info.versions["torch"] and info.versions["textual"]


def test_json_has_every_key_of_a_device() -> None:
    (cpu,) = [row for row in msgspec.to_builtins(machine_info.list_devices()) if row["kind"] == "cpu"]
    assert list(cpu) == [
        "device", "kind", "name", "uuid", "memory_total", "memory_free", "load", "processes", "chosen", "why",
        "index", "hidden", "runs", "temperature", "power",
    ]  # fmt: skip
    assert cpu["uuid"] is None


def test_exactly_one_device_is_chosen_for_training() -> None:
    rows = machine_info.list_devices()
    chosen = [row for row in rows if row.chosen]
    assert len(chosen) == 1 and chosen[0].reason
    assert rows[-1].device == "cpu" and describe_cores() in rows[-1].name


def test_neither_torch_nor_the_screen_is_imported() -> None:
    code = (
        "import sys; from workbench.system import machine_info as m; m.describe_machine(); m.find_problems();"
        "print([n for n in ('torch', 'torchvision', 'numpy', 'textual', 'PIL') if n in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("torch", "vision", "requirements", "message"),
    [
        ("2.10.0+cpu", "0.25.0+cu128", ["==2.10.0"], "operator torchvision::nms does not exist"),
        ("2.10.0+cpu", "0.25.0", ["==2.10.0"], "--index-url https://download.pytorch.org/whl/cpu"),
        ("2.10.0+cu126", "0.25.0+cu128", ["==2.10.0"], "different builds"),
        (
            "2.11.0+cu128",
            "0.25.0+cu128",
            ["==2.10.0"],
            "requires torch ==2.10.0, but 2.11.0+cu128 is installed",
        ),
        ("2.13.0+cu128", "0.29.2+cu128", [">=2.14.0"], "requires torch >=2.14.0"),
    ],
)
def test_incompatible_builds(torch: str, vision: str, requirements: list[str], message: str) -> None:
    (problem,) = packages.find_build_mismatch(torch, vision, requirements)
    assert message in problem and "pip install" in problem and "\n" not in problem


@pytest.mark.parametrize(
    ("torch", "vision", "requirements"),
    [
        ("2.10.0+cpu", "0.25.0+cpu", ["==2.10.0"]),
        ("2.15.0+cu132", "0.29.2+cu132", [">=2.14.0"]),
        ("2.10.0", "0.25.0", ["==2.10.0", "!=3"]),
        ("2.10.0a0+gitabc123", "0.25.0a0+def456", []),
    ],
)
def test_compatible_builds(torch: str, vision: str, requirements: list[str]) -> None:
    assert packages.find_build_mismatch(torch, vision, requirements) == []


def test_a_package_that_is_not_there_has_no_version() -> None:
    assert packages.package_build("no-such-package-anywhere") is None
    assert packages.package_build("textual") == machine_info.installed_versions()["textual"]


def test_missing_packages_are_reported_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "package_build", lambda package: None)
    assert (
        "not installed: torch and torchvision: pip install torch torchvision" in machine_info.find_problems()
    )


def test_low_disk_space_is_reported_once_per_disk(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(machine_info, "disk_space", lambda path: machine_info.DiskSpace(400_000_000, 10 * GB))
    (problem,) = [line for line in machine_info.find_problems() if "MB are free" in line]
    assert "only 400 MB" in problem and str(home) in problem and "WORKBENCH_HOME" in problem


def test_a_home_that_cannot_be_written_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", "/proc/below")  # where root can't write either
    assert any("WORKBENCH_HOME" in line for line in machine_info.find_problems())


def test_a_file_in_place_of_the_home_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "file" / "below"))
    assert any("not writable" in line for line in machine_info.find_problems())
