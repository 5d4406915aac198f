"""The log of a script: lines as they come, progress bars in their last state, and never without bound."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench.io.line_follower import LineFollower
from workbench.scripts.output import OutputReader, RotatingLog


def log_of(tmp_path: Path, *chunks: bytes, limit: int = 1 << 20) -> tuple[str, list[str]]:
    """What the log holds after these chunks of output, and the lines that were reported."""
    reading, writing = os.pipe()
    lines: list[str] = []
    path = tmp_path / "log"
    reader = OutputReader(reading, RotatingLog(path, tmp_path / "earlier", limit), lines.append)
    reader.start()
    for chunk in chunks:
        os.write(writing, chunk)
    os.close(writing)
    reader.finish(10)
    return path.read_text(errors="replace"), lines


@pytest.mark.parametrize(
    ("chunks", "log"),
    [
        ((b"one\ntwo\n",), "one\ntwo\n"),
        ((b"o", b"ne\nt", b"wo"), "one\ntwo\n"),
        ((b"10%\r20%", b"\r30%\r", b"\ndone\n"), "30%\ndone\n"),
        ((b"a\r\nb\r", b"\nc\r\n"), "a\nb\nc\n"),
        ((b"99%\r100%",), "100%\n"),
        ((b"\n\nx\n",), "\n\nx\n"),
    ],
)
def test_lines_and_last_states_are_kept(tmp_path: Path, chunks: tuple[bytes, ...], log: str) -> None:
    assert log_of(tmp_path, *chunks)[0] == log


def test_states_of_a_line_are_reported(tmp_path: Path) -> None:
    assert log_of(tmp_path, b"\r10%\r20%")[1][-1] == "20%"


def test_a_long_log_is_rotated_and_can_be_followed(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    follower = LineFollower(tmp_path / "log")
    reader = OutputReader(reading, RotatingLog(tmp_path / "log", tmp_path / "earlier", 1000), lambda _: None)
    reader.start()
    seen: list[str] = []
    for number in range(300):
        os.write(writing, f"line {number}\n".encode())
        while seen[-1:] != [f"line {number}"]:
            seen += follower.read()
    os.close(writing)
    reader.finish(10)
    kept = (tmp_path / "earlier").read_text() + (tmp_path / "log").read_text()
    assert len(kept) <= 2000
    assert kept.endswith("line 298\nline 299\n")
    assert seen == [f"line {number}" for number in range(300)]


def test_output_without_a_newline_needs_no_memory(tmp_path: Path) -> None:
    text, _ = log_of(tmp_path, *[b"x" * 4096] * 64)
    assert text.count("x") == 64 * 4096
