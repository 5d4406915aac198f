from __future__ import annotations

from pathlib import Path

from workbench.system.memory import _group_limits, fits_in_budget, host_memory


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("memory_", "memory.")).write_text(str(content))


def test_memory_of_this_host_is_known() -> None:
    total, free = host_memory()
    assert total is not None
    assert free is not None
    assert 0 < free <= total


def test_data_may_use_half_of_the_free_memory() -> None:
    assert fits_in_budget(49, 100)
    assert not fits_in_budget(50, 100)


def test_limits_of_ancestor_groups_count_and_the_page_cache_is_free(tmp_path: Path) -> None:
    group(tmp_path / "a" / "b", memory_max="max", memory_current=5)
    group(
        tmp_path / "a", memory_max=1000, memory_current=700, memory_stat="inactive_file 100\nactive_file 50\n"
    )
    assert _group_limits(tmp_path, "0::/a/b\n") == [(1000, 550)]


def test_limits_of_version_one(tmp_path: Path) -> None:
    group(tmp_path / "memory" / "job", memory_limit_in_bytes=2000, memory_usage_in_bytes=300)
    assert _group_limits(tmp_path, "5:cpu:/job\n4:memory:/job\n0::/\n") == [(2000, 300)]
    assert _group_limits(tmp_path, "") == []
