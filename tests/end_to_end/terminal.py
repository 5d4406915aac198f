"""The product in a real terminal: pexpect drives the pty, pyte renders its output."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import pexpect

from tests.end_to_end.emulator import ByteStream, Repeats, Screen

QUERY, ANSWER = b"\x1b[?2026$p", b"\x1b[?2026;2$y"
KEYS = {
    "enter": "\r",
    "esc": "\x1b",
    "tab": "\t",
    "down": "\x1b[B",
    "up": "\x1b[A",
    "ctrl+q": "\x11",
    "backspace": "\x7f",
}


class Terminal:
    """`workbench` in a pty of a given size.

    `answers`: it answers queries: whether it can synchronize output, is operating, and where its cursor is.
    `repeats`: which characters it can repeat.
    """

    def __init__(
        self,
        columns: int,
        rows: int,
        *,
        cwd: Path | None = None,
        answers: bool = False,
        repeats: Repeats = "all",
        command: Sequence[str] = (sys.executable, "-m", "workbench"),
        changed: Mapping[str, str] | None = None,
    ) -> None:
        """`command` shows it, perhaps in a multiplexer; `changed`: environment variables that differ."""
        usual = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        environment = {**os.environ, **{name: os.environ.get(name) or value for name, value in usual.items()}}
        environment |= changed or {}
        size = struct.pack("HHHH", rows, columns, 0, 0)
        self.process = pexpect.spawn(
            command[0], list(command[1:]), dimensions=(rows, columns), env=environment, timeout=60,
            cwd=None if cwd is None else str(cwd),
            preexec_fn=lambda: _as_a_shell_would(size),
        )  # fmt: skip
        self.process.delaybeforesend = None  # by itself, pexpect waits 50 ms before each key
        self.columns = columns
        self.answers = answers
        self.screen = Screen(columns, rows, repeats=repeats, answer=self._answer)
        self._stream = ByteStream(self.screen)
        self.received = bytearray()
        """Every byte that the product sent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.close(force=True)

    def read(self, seconds: float = 0.1) -> None:
        """Read the output of the next `seconds`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not self.read_some(1 << 16, left):
                return

    def read_some(self, size: int, seconds: float) -> int:
        """Read at most `size` bytes, wait `seconds` at most; returns how many were read."""
        try:
            data = self.process.read_nonblocking(size, timeout=seconds)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return 0
        before = max(0, len(self.received) - len(QUERY) + 1)
        self.received += data
        self._stream.feed(data)
        if self.answers:
            self.process.send(ANSWER * self.received[before:].count(QUERY))
        return len(data)

    def _answer(self, data: str) -> None:
        if self.answers:
            self.process.send(data)

    def show(self, output: bytes) -> None:
        """Let the terminal show the output of another program."""
        self._stream.feed(output)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal."""
        self.columns = columns
        self.screen.resize(rows, columns)
        self.process.setwinsize(rows, columns)

    @property
    def text(self) -> str:
        """The text on the screen now."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    @property
    def backgrounds(self) -> list[str]:
        """The background color of each cell: a name or six hexadecimal digits. Cells of an image have its colors."""
        cells = self.screen.buffer
        return [cells[row][column].bg for row in range(self.screen.lines) for column in range(self.columns)]

    def press(self, *keys: str) -> Self:
        """Send keys by name (`enter`, `esc`, `down`, …), anything else as it is typed."""
        for key in keys:
            self.process.send(KEYS.get(key, key))
            # A single escape is distinguished from the start of a sequence by the pause after it.
            self.read(0.3 if key == "esc" else 0.05)
        return self

    def wait(self, condition: Callable[[str], bool], what: str, seconds: float = 60) -> Self:
        """Return when the screen satisfies the condition; after `seconds`, fail with the screen's text."""
        until = time.monotonic() + seconds
        while not condition(self.text):
            assert time.monotonic() < until, f"no {what} within {seconds} s on:\n{self.text}"
            assert self.process.isalive() or condition(self.text), (
                f"the screen ended before {what}:\n{self.text}"
            )
            self.read(0.1)
        return self

    def wait_for(self, text: str, seconds: float = 60) -> Self:
        """Return when `text` is on the screen."""
        return self.wait(lambda screen: text in screen, repr(text), seconds)

    def hang_up(self) -> None:
        """Close the terminal, as a lost connection does; sends no signal itself."""
        self.process.ptyproc.fileobj.close()
        self.process.ptyproc.closed = self.process.closed = True

    def wait_until_gone(self, seconds: float = 60) -> None:
        """Return when the product has ended."""
        until = time.monotonic() + seconds
        while self.process.isalive():
            assert time.monotonic() < until, f"still running after {seconds} s:\n{self.text}"
            self.read(0.05)


def _as_a_shell_would(size: bytes) -> None:
    """In the new process: the terminal has its size, and hanging up ends the program (under `nohup` it would not).

    pexpect sets the size when the program runs already: on a busy machine that can be too late.
    """
    fcntl.ioctl(0, termios.TIOCSWINSZ, size)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
