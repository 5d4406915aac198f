"""Cores within the CPU quotas of control groups of both versions, in the trees that containers and Slurm make."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.system import cgroups, cpu


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("cpu_", "cpu.")).write_text(f"{content}\n")


def use(monkeypatch: pytest.MonkeyPatch, root: Path, membership: str, cores: int = 8) -> None:
    monkeypatch.setattr(cgroups, "ROOT", root)
    monkeypatch.setattr(cgroups, "membership", lambda: membership)
    monkeypatch.setattr(cpu, "_affinity_cores", lambda: cores)


def test_the_smallest_quota_of_all_ancestors_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, tmp_path, "0::/pod/container\n")
    assert (cpu.cpu_quota(), cpu.usable_cores(), cpu.describe_cores()) == (None, 8, "8 cores")
    group(tmp_path / "pod" / "container", cpu_max="600000 100000")
    assert (cpu.cpu_quota(), cpu.usable_cores()) == (6.0, 6)
    group(tmp_path / "pod", cpu_max="150000 100000")
    assert (cpu.cpu_quota(), cpu.usable_cores()) == (1.5, 2)
    assert cpu.describe_cores() == "1.5 of 8 cores (CPU quota)"
    assert cpu.core_budget() == "8/1.5"  # the key of a measured choice of threads
    group(tmp_path / "pod", cpu_max="50000 100000")
    assert cpu.usable_cores() == 1
    group(tmp_path / "pod", cpu_max="max 100000")
    assert cpu.usable_cores() == 6


def test_a_container_that_is_the_root_of_its_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, tmp_path, "0::/\n")
    group(tmp_path, cpu_max="200000 100000")
    assert cpu.usable_cores() == 2


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_version_one_with_the_path_of_the_host(
    mount: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, tmp_path, "7:cpuset:/x\n4:cpu,cpuacct:/docker/0123\n0::/\n")
    group(tmp_path / mount, cpu_cfs_quota_us=300000, cpu_cfs_period_us=100000)
    assert cpu.usable_cores() == 3
    group(tmp_path / mount / "docker" / "0123", cpu_cfs_quota_us=-1, cpu_cfs_period_us=100000)
    assert cpu.usable_cores() == 3
    group(tmp_path / mount / "docker" / "0123", cpu_cfs_quota_us=20000, cpu_cfs_period_us=10000)
    assert cpu.usable_cores() == 2


def test_a_quota_above_the_cores_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, tmp_path, "0::/a\n", cores=4)
    group(tmp_path / "a", cpu_max="1600000 100000")
    assert (cpu.usable_cores(), cpu.describe_cores(), cpu.core_budget()) == (4, "4 cores", "4")


@pytest.mark.parametrize("content", ["", "100000", "-1 100000", "100000 0", "some words", "1 2 3"])
def test_a_damaged_quota_is_ignored(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, tmp_path, "nonsense\n0::/a\n")
    group(tmp_path / "a", cpu_max=content)
    assert cpu.cpu_quota() is None
