"""Logs in lines of text."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator

from workbench.logs.followed_file import FollowedFile
from workbench.logs.log import Log, NoticeKind
from workbench.logs.source import LogSource

CHUNK_BYTES = 1 << 17
MAX_LINE_BYTES = 1 << 20
UNFINISHED_SECONDS = 3600
"""A last line without a newline counts as complete after this time without a change."""


class LineLog(Log):
    """Reads the complete lines of a file; too long ones are skipped."""

    def __init__(self, source: LogSource) -> None:
        super().__init__(source)
        self._file = FollowedFile(source.path)
        self._in_long_line = False

    @abstractmethod
    def _read_line(self, line: str) -> None:
        """Read a line that is not blank, without its end."""

    def _read(self) -> Iterator[None]:
        for data in self._file.chunks(CHUNK_BYTES):
            end = data.rfind(b"\n") + 1
            if end < len(data) and self._is_finished(data):
                end = len(data)
            if end:
                self._read_lines(data[:end])
            elif len(data) > MAX_LINE_BYTES:
                self._in_long_line = True
                end = len(data)
            self._file.advance(data, end)
            yield

    def _reset(self) -> None:
        super()._reset()
        self._file.rewind()
        self._in_long_line = False

    def _read_lines(self, data: bytes) -> None:
        lines = data.decode("utf-8", "replace").split("\n")
        if self._in_long_line:
            self._in_long_line = False
            self._notice(NoticeKind.INVALID_LINE)
            del lines[0]
        for line in lines:
            if line and not line.isspace():
                self._read_line(line.rstrip("\r"))

    def _is_finished(self, data: bytes) -> bool:
        """Whether the last line of `data` is the last one of a file that is no longer written."""
        at_end = self._file.offset + len(data) >= self._file.size
        return at_end and time.time() - self._file.path.stat().st_mtime > UNFINISHED_SECONDS
