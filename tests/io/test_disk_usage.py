"""Sizes on disk, counted only as long as that is quick."""

from __future__ import annotations

import pytest

from workbench.io.disk_usage import quick_disk_usage


@pytest.fixture
def tree(tmp_path):
    top = tmp_path / "top"
    for number, name in enumerate(("a", "b/c", "b/d/e")):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"x" * 10**number)
    return top


def test_files_and_whole_folders_are_counted(tree):
    assert quick_disk_usage([tree]) == 111
    assert quick_disk_usage([tree / "a", tree / "b"]) == 111
    assert quick_disk_usage([]) == 0


def test_links_are_not_followed(tree, tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 5000)
    (tree / "b" / "file").symlink_to(tmp_path / "large")
    (tree / "b" / "round").symlink_to(tree)
    (tree / "none").symlink_to(tmp_path / "none")
    assert quick_disk_usage([tree]) == 111


def test_a_slow_measurement_is_unknown(tree):
    assert quick_disk_usage([tree], seconds=-1) is None
    assert quick_disk_usage([tree], max_files=4) is None  # three files in two folders
    assert quick_disk_usage([tree], max_files=5) == 111


def test_a_missing_or_unreadable_folder_is_unknown(tree):
    assert quick_disk_usage([tree, tree / "missing"]) is None
