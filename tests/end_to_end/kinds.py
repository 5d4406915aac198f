"""The kinds of terminals in which the keys are tried, and what a person sees in them."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyte

from tests.end_to_end.places import sequence
from tests.end_to_end.terminal import Terminal

CHANGES_BY_ITSELF = re.compile(
    r"[━╸─=-]* +[\d.]+( [A-Z]?B free|%)|load +[\d.]+|\d+[smh] ago|\d\d:\d\d|\d+ s\b"
)
"""Free memory, load, ages and clocks: no effect of a key."""
AT_WORK = "oading|Counting"
"""What is shown while another process is at work: `esc` would cancel it."""
WAIT_SECONDS, QUIET_SECONDS = 60.0, 0.06
REACTION_SECONDS = 0.4
"""A key that is pressed before the one that is tried has so long for its effect, which is not to be taken for that of
the other."""
Cell = tuple[object, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of terminal."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    tmux: str = ""
    """`TERM` inside of tmux; not in tmux if empty."""
    options: tuple[str, ...] = ()
    """Of the tmux client."""


KINDS = [
    Kind("pty"),
    Kind("no-color", {"NO_COLOR": "1"}),
    Kind("ascii", {"LC_ALL": "C", "LANG": "C"}),
    Kind("linux", {"TERM": "linux", "COLORTERM": ""}),
    Kind("vt100", {"TERM": "vt100", "COLORTERM": ""}),
    Kind("tmux-8", {"TERM": "screen", "COLORTERM": ""}, "screen"),
    Kind("tmux-256", {"TERM": "screen-256color", "COLORTERM": ""}, "tmux-256color"),
    Kind("tmux-true", {"TERM": "screen-256color", "COLORTERM": "truecolor"}, "tmux-256color", ("-T", "RGB")),
    Kind("tmux-ascii", {"TERM": "screen", "COLORTERM": "", "LC_ALL": "C", "LANG": "C"}, "screen"),
]


class Shown:
    """The product in a terminal of some kind, and what a person sees of it."""

    def __init__(self, kind: Kind, columns: int, rows: int) -> None:
        self.kind, self.columns, self.rows = kind, columns, rows
        command: Sequence[str] = (sys.executable, "-m", "workbench")
        if kind.tmux:
            self._folder = tempfile.TemporaryDirectory()
            settings = Path(self._folder.name, "tmux.conf")
            settings.write_text(
                f"set -g status off\nset -g default-terminal {kind.tmux}\nset -sg escape-time 20\n"
            )
            self._tmux = ["tmux", "-S", str(settings.with_name("socket")), "-f", str(settings)]
            command = [*self._tmux, *kind.options, "new-session", *command]
        environment = {"TMUX": "", **kind.environment}
        self._received, self._cells = -1, list[list[Cell]]()
        self.terminal = Terminal(columns, rows, command=command, changed=environment)

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self.terminal.process.close(force=True)
        if self.kind.tmux:
            subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)
            self._folder.cleanup()

    def _rows(self) -> list[list[Cell]]:
        """Every cell; as before unless the terminal received something."""
        received = len(self.terminal.received)
        if self._received != received:
            self._received, self._cells = received, self._read_rows()
        return [list(row) for row in self._cells]

    def _read_rows(self) -> list[list[Cell]]:
        screen = self.terminal.screen
        if self.kind.tmux:
            command = [*self._tmux, "capture-pane", "-p", "-e"]
            captured = subprocess.run(command, capture_output=True, check=False).stdout
            screen = pyte.Screen(self.columns, self.rows)
            pyte.ByteStream(screen).feed(captured.rstrip(b"\n").replace(b"\n", b"\x1b[0m\r\n"))
        return [[tuple(screen.buffer[y][x]) for x in range(self.columns)] for y in range(self.rows)]

    @property
    def cells(self) -> list[list[Cell]]:
        """Every cell with its style; what changes by itself is blank."""
        rows = self._rows()
        for row in rows:
            for match in CHANGES_BY_ITSELF.finditer(_text(row)):
                row[match.start() : match.end()] = [(" ",)] * (match.end() - match.start())
        return rows

    @property
    def text(self) -> str:
        """The text on the screen."""
        return "\n".join(_text(row).rstrip() for row in self._rows())

    def press(self, *keys: str) -> None:
        """Press keys by Textual's names; each waits until the screen is quiet."""
        for key in keys:
            self.terminal.process.send(sequence(key))
            self.settle()

    def press_and_wait(self, *keys: str) -> None:
        """Press keys, and wait for the effect that each may have."""
        for key in keys:
            self.has_effect(key, REACTION_SECONDS, set())
            self.settle()

    def settle(self, limit: float = 3.0) -> list[list[Cell]]:
        """Return what is on the screen when nothing but what changes by itself has changed for a moment."""
        until, before = time.monotonic() + limit, self.cells
        while True:
            self.terminal.read(QUIET_SECONDS)
            after = self.cells
            if re.search(AT_WORK, "\n".join(_text(row) for row in after)):
                until = max(until, time.monotonic() + 1)
            elif after == before or time.monotonic() > until:
                return after
            before = after

    def has_effect(self, key: str, seconds: float, ignored: set[tuple[int, int]]) -> bool:
        """Whether something on the screen changes within `seconds` after a key."""
        before, until = self.settle(), time.monotonic() + seconds
        self.terminal.process.send(sequence(key))
        while time.monotonic() < until:
            self.terminal.read(0.04)
            if differing(before, self.cells) - ignored:
                return True
        return False

    def wait_for(self, pattern: str) -> None:
        """Wait until the text of the screen contains a match of `pattern`."""
        self.until(lambda: re.search(pattern, self.text) is not None, repr(pattern))

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition."""
        until = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < until, f"no {what} on:\n{self.text}"
            self.terminal.read(0.1)

    def scribble(self, text: str) -> None:
        """Let another program write to the terminal."""
        if self.kind.tmux:
            command = [*self._tmux, "display-message", "-p", "#{pane_tty}"]
            tty = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
            Path(tty).write_text(text)
        else:
            self.terminal.show(text.encode())
            self._received = -1


def _text(row: list[Cell]) -> str:
    return "".join(str(cell[0])[:1] or " " for cell in row)


def differing(before: list[list[Cell]], after: list[list[Cell]]) -> set[tuple[int, int]]:
    """The cells that differ between two screens."""
    return {
        (y, x)
        for y, (old, new) in enumerate(zip(before, after, strict=True))
        if old != new
        for x, (a, b) in enumerate(zip(old, new, strict=True))
        if a != b
    }
