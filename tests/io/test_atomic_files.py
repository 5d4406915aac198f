"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat

import pytest

from workbench.io import atomic_files


def test_a_file_is_replaced_whole_and_private(tmp_path):
    path = tmp_path / "a.bin"
    atomic_files.write_bytes(path, b"old")
    atomic_files.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    atomic_files.write_bytes(path, b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic_files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_names_that_are_not_utf8_survive_json(tmp_path):
    path = tmp_path / "a.json"
    atomic_files.write_json(path, {"name": os.fsdecode(b"caf\xe9"), "n": [1, 2.5, None]})
    assert atomic_files.read_json(path) == {"name": os.fsdecode(b"caf\xe9"), "n": [1, 2.5, None]}


def test_nan_is_refused(tmp_path):
    with pytest.raises(ValueError):
        atomic_files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_file_without_a_json_object_reads_as_none(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert atomic_files.read_json(path) is None


def test_a_missing_file_or_a_folder_reads_as_none(tmp_path):
    assert atomic_files.read_json(tmp_path / "none.json") is None
    assert atomic_files.read_json(tmp_path) is None
