"""W&B files, torn, damaged and growing."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tests.logs.reading import points, poll_all, read
from tests.logs.writers import SAMPLES
from workbench.logs.leveldb import BLOCK_BYTES
from workbench.logs.log import NoticeKind
from workbench.logs.open_log import open_log
from workbench.logs.source import LogFormat, LogSource
from workbench.logs.wandb_log import FILE_HEADER, WandbLog

RECORD_HEADER = 7
"""Bytes before the content of a record: checksum, length, kind."""


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


def test_logged_images_are_where_their_files_are(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SAMPLES / "wandb", tmp_path / "log"))
    images = read(folder).images
    brightness = {
        name: [(one.step, Image.open(one.path).convert("L").getpixel((0, 0))) for one in references]
        for name, references in images.items()
    }
    assert brightness == {
        "samples/picture": [(60, 50), (100, 80)], "several/0": [(60, 60)], "several/1": [(60, 70)],
    }  # fmt: skip
    first = images["samples/picture"][0]
    assert first.read() == first.path.read_bytes()
    first.path.unlink()
    assert first.read() is None


def test_images_elsewhere_are_not_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.wandb"
    path.write_bytes(with_text(content, b"media/images/picture_40_", b"../../../images/picture_"))
    log = open_file(path)
    assert [one.step for one in log.images["samples/picture"]] == [100]
    assert log.notices == {NoticeKind.INVALID_VALUE: 1}


def with_text(content: bytes, old: bytes, new: bytes) -> bytes:
    """A log with another text of the same length in all records, and the checksums for it."""
    result, start = bytearray(content.replace(old, new)), len(FILE_HEADER)
    while start < len(result):
        if (rest := BLOCK_BYTES - start % BLOCK_BYTES) < RECORD_HEADER:
            start += rest
            continue
        end = start + RECORD_HEADER + int.from_bytes(result[start + 4 : start + 6], "little")
        kind, record = result[start + 6 : start + RECORD_HEADER], result[start + RECORD_HEADER : end]
        result[start : start + 4] = zlib.crc32(record, zlib.crc32(kind)).to_bytes(4, "little")
        start = end
    return bytes(result)


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
