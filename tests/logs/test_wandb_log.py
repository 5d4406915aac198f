"""W&B files, torn, damaged and growing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.logs.reading import points, poll_all, read
from tests.logs.writers import SAMPLES
from workbench.logs.leveldb import BLOCK_BYTES
from workbench.logs.log import NoticeKind
from workbench.logs.open_log import open_log
from workbench.logs.source import LogFormat, LogSource
from workbench.logs.wandb_log import WandbLog


@pytest.fixture(scope="module")
def content() -> bytes:
    (path,) = (SAMPLES / "wandb").rglob("*.wandb")
    return path.read_bytes()


def open_file(path: Path) -> WandbLog:
    log = open_log(LogSource(path, LogFormat.WANDB))
    assert isinstance(log, WandbLog)
    poll_all(log)
    return log


def test_a_file_that_grows_in_pieces_of_any_size_is_read(tmp_path: Path, content: bytes) -> None:
    expected = points(read(SAMPLES / "wandb"))
    for size in (997, 30_011):
        path = tmp_path / f"{size}.wandb"
        log = open_file(path)
        for start in range(0, len(content), size):
            with path.open("ab") as file:
                file.write(content[start : start + size])
            poll_all(log)
        assert points(log) == expected
        assert set(log.notices) <= {NoticeKind.UNREADABLE_FILE}  # before there was a file
        assert log.generation == 0


def test_a_tail_torn_at_any_byte_is_left_for_later(tmp_path: Path, content: bytes) -> None:
    expected = points(read(SAMPLES / "wandb"))
    for length in range(0, 2000):
        path = tmp_path / f"{length}.wandb"
        path.write_bytes(content[:length])
        log = open_file(path)
        assert all(expected[name][: len(pairs)] == pairs for name, pairs in points(log).items())
        assert log.notices == {}


def test_after_damage_the_next_block_is_read(tmp_path: Path, content: bytes) -> None:
    damaged = bytearray(content)
    damaged[5000] ^= 1
    assert len(damaged) > 2 * BLOCK_BYTES
    path = tmp_path / "run.wandb"
    path.write_bytes(damaged)
    log = open_file(path)
    assert 0 < len(log.series["loss"]) < 40
    assert log.summary["best"] == 0.7  # at the end of the file
    assert log.notices == {NoticeKind.DAMAGED_RECORD: 1}
