"""What `workbench doctor` reports about the terminal and the driver."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import Iterator

import msgspec
import pytest

from workbench.cli.commands.doctor import Terminal, detect_terminal
from workbench.cli.main import run
from workbench.system.terminal_info import limitations


@pytest.fixture
def tty() -> Iterator[int]:
    """A real terminal of 120×36."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
    yield theirs
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    ("environment", "colours"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, 1 << 24),
        ({"TERM": "xterm-256color"}, 256),
        ({"TERM": "xterm"}, 16),
        ({"TERM": "xterm", "NO_COLOR": "1"}, 0),
        ({}, 0),
    ],
)
def test_size_and_colours_of_a_terminal(tty: int, environment: dict[str, str], colours: int) -> None:
    with os.fdopen(os.dup(tty), "w") as stream:
        terminal = detect_terminal([stream], environment)
    assert terminal is not None and terminal.limitations == tuple(limitations(environment))
    expected = Terminal(columns=120, rows=36, type=environment.get("TERM", ""), colors=colours)
    assert msgspec.structs.replace(terminal, limitations=()) == expected


def test_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as one, os.fdopen(writing, "w") as other:
        assert detect_terminal([one, other, sys.stdin], {}) is None or sys.stdin.isatty()
    run(["doctor"])
    output = capsys.readouterr().out
    assert "terminal: " in output and "NVIDIA" in output and "trash" in output
