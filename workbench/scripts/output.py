"""The output of a script: from its pipe or pseudo-terminal to the run's log, which never grows without bound."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

MAX_LOG_BYTES = 16 << 20
"""Size in bytes at which the log is rotated: the log and the previous one together have at most twice as much."""
CHUNK = 1 << 16


class RotatingLog:
    """Appends to a log; a long one is renamed to `earlier`. A full disk loses output, never the script."""

    def __init__(self, path: Path, earlier: Path, limit: int = MAX_LOG_BYTES) -> None:
        self._path, self._earlier, self._limit = path, earlier, limit
        self._open()

    def write(self, data: bytes) -> None:
        """Append `data`."""
        with contextlib.suppress(OSError):
            if self._size + len(data) > self._limit and self._size:
                os.close(self._descriptor)
                self._path.replace(self._earlier)
                self._open()
            self._size += os.write(self._descriptor, data)

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size


class OutputReader:
    """A thread that copies a script's output to its log, and calls `on_line` with each line or state of a line.

    A line that is rewritten with `\\r`, as progress bars are, gets into the log only in its last state.
    """

    def __init__(self, descriptor: int, log: RotatingLog, on_line: Callable[[str], None]) -> None:
        self._descriptor, self._log, self._on_line = descriptor, log, on_line
        self._line = b""
        """The last line, as far as it has come."""
        self._thread = threading.Thread(target=self._copy, name="output", daemon=True)

    def start(self) -> None:
        """Start to copy."""
        self._thread.start()

    def finish(self, seconds: float) -> None:
        """Wait until all processes have closed the output, at most `seconds`; then write what is left of it."""
        self._thread.join(seconds)
        if self._line:
            self._log.write(self._line + b"\n")
            self._line = b""

    def _copy(self) -> None:
        while True:
            try:
                data = os.read(self._descriptor, CHUNK)
            except OSError:  # EIO: no process has the pseudo-terminal open any more
                data = b""
            if not data:
                return
            self._take(data)

    def _take(self, data: bytes) -> None:
        *lines, rest = (self._line + data).replace(b"\r\n", b"\n").split(b"\n")
        states = [line.rstrip(b"\r").rpartition(b"\r")[2] for line in lines]
        if states:
            self._log.write(b"".join(state + b"\n" for state in states))
        shown = rest.rstrip(b"\r").rpartition(b"\r")[2]
        # A carriage return at the end stays: a newline may follow it in the next chunk.
        self._line = shown + (b"\r" if rest.endswith(b"\r") else b"")
        if len(self._line) > CHUNK:  # no line at all
            self._log.write(self._line)
            self._line = b""
        for line in [*states[-20:], shown]:
            if line.strip():
                self._on_line(line.decode("utf-8", "replace"))
