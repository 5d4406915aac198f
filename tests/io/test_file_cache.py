"""Room taken by what can be made again."""

from __future__ import annotations

import os
import time
from pathlib import Path

from workbench.datasets.resumable_file import open_locked
from workbench.io.disk_usage import disk_usage
from workbench.io.file_cache import STALE_SECONDS, clear, evict_least_recent, touch


def made(folder: Path, name: str, age: float, size: int = 100) -> Path:
    path = folder / name
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_the_oldest_unused_go_first(tmp_path: Path) -> None:
    def pair(age: float) -> tuple[Path, Path]:
        return made(tmp_path, f"{age}.u8", age), made(tmp_path, f"{age}.json", age, size=10)

    oldest, old, new = pair(300), pair(200), pair(100)
    touch(oldest[0])
    evict_least_recent(tmp_path, 150)
    assert all(path.exists() for path in oldest)
    assert not any(path.exists() for path in (*old, *new))
    evict_least_recent(tmp_path, 0)
    assert disk_usage(tmp_path) == 110
    evict_least_recent(tmp_path, 1)
    assert disk_usage(tmp_path) == 0, "a file without the other of its pair is of no use"


def test_files_being_written_stay_and_abandoned_ones_are_deleted(tmp_path: Path) -> None:
    busy, left = made(tmp_path, "a.part", 1), made(tmp_path, "b.part", STALE_SECONDS + 60)
    made(tmp_path, "c.u8", 1)
    assert clear(tmp_path) == 200
    assert busy.exists() and not left.exists()
    assert clear(tmp_path / "nowhere") == 0


def test_an_unlocked_partial_file_is_deleted_however_new_it_is(tmp_path: Path) -> None:
    files = [made(tmp_path, name, 1) for name in ("a.u8.part", "a.u8.part.json")]
    with open_locked(files[0], lambda: None):
        assert clear(tmp_path) == 0
    assert clear(tmp_path) == 200 and not any(path.exists() for path in files)
