"""Room taken by what can be made again."""

from __future__ import annotations

import os
import time
from pathlib import Path

from workbench.io.caches import BUSY, clear, drop_oldest, size_of, used


def made(folder: Path, name: str, age: float, size: int = 100) -> Path:
    path = folder / name
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_the_oldest_unused_go_first(tmp_path: Path) -> None:
    oldest, old, new = (made(tmp_path, f"{age}.u8", age) for age in (300, 200, 100))
    used(oldest)
    drop_oldest(tmp_path, 150)
    assert oldest.exists() and not old.exists() and not new.exists()
    drop_oldest(tmp_path, 0)
    assert size_of(tmp_path) == 100


def test_what_is_being_written_stays_and_what_was_left_behind_goes(tmp_path: Path) -> None:
    busy, left = made(tmp_path, "a.u8.part", 1), made(tmp_path, "b.u8.part", BUSY + 60)
    made(tmp_path, "c.u8", 1)
    assert clear(tmp_path) == 200
    assert busy.exists() and not left.exists()
    assert clear(tmp_path / "nowhere") == 0
