"""The complete lines of a text file that grows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from workbench.logs.followed_file import FollowedFile

CHUNK_BYTES = 1 << 17
MAX_LINE_BYTES = 1 << 20
UNFINISHED_SECONDS = 3600
"""A last line without a newline counts as complete after this time without a change: nobody is writing it."""


class LineReader:
    """Reads what was added to a file, as lists of lines without their ends."""

    def __init__(self, path: Path) -> None:
        self._file = FollowedFile(path)
        self._in_long_line = False
        self.long_lines = 0
        """Lines that were skipped because they are longer than `MAX_LINE_BYTES`."""

    def read(self) -> Iterator[list[str]]:
        """The complete lines that were added. Raises `OSError` and `FileReplaced`."""
        for data in self._file.chunks(CHUNK_BYTES):
            end = data.rfind(b"\n") + 1
            if end == 0 and len(data) > MAX_LINE_BYTES:
                self._file.advance(data, len(data))
                self._in_long_line = True
                continue
            if end < len(data) and self._is_finished(data):
                end = len(data)
            lines = data[:end].decode("utf-8", "replace").split("\n")
            if end and data[end - 1 : end] == b"\n":
                lines.pop()
            self._file.advance(data, end)
            yield self._after_long_line(lines)

    def rewind(self) -> None:
        """Start at the first line again."""
        self._file.rewind()
        self._in_long_line = False

    def _is_finished(self, data: bytes) -> bool:
        """Whether the last line of `data` is the last one of a file that nobody writes any more."""
        at_end = self._file.offset + len(data) >= self._file.size
        return at_end and time.time() - self._file.path.stat().st_mtime > UNFINISHED_SECONDS

    def _after_long_line(self, lines: list[str]) -> list[str]:
        if self._in_long_line and lines:
            self._in_long_line = False
            self.long_lines += 1
            return lines[1:]
        return lines
