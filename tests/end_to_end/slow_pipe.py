"""`python -m tests.end_to_end.slow_pipe [--rate 4000] [COMMAND …]`: a command (`workbench`) behind a slow line.

Like SSH, it takes whatever the command writes at once, and shows it later: at so many bytes per second in each
direction, after a delay. To be used by hand in any terminal, and by tests around a command.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import signal
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

MOMENT = 0.02
RATE = 4_000


@dataclass
class Direction:
    """Bytes from one descriptor to another, at a rate and after a delay."""

    source: int
    target: int
    rate: float
    delay: float
    _waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    _free_at: float = 0.0

    def take(self) -> bool:
        """Read what there is; `False` at the end."""
        try:
            data = os.read(self.source, 1 << 16)
        except OSError:  # the command has ended
            return False
        self._waiting.append((time.monotonic() + self.delay, data))
        return bool(data)

    def pass_on(self) -> None:
        """Write what has arrived by now, in pieces of what fits into a moment."""
        piece = max(1, int(self.rate * MOMENT))
        while self._waiting and (now := time.monotonic()) >= max(self._waiting[0][0], self._free_at):
            arrived, data = self._waiting.popleft()
            os.write(self.target, data[:piece])
            self._free_at = max(self._free_at, now - MOMENT) + len(data[:piece]) / self.rate
            if data[piece:]:
                self._waiting.appendleft((arrived, data[piece:]))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on its way."""
        return not self._waiting


def relay(command: list[str], rate: float, delay: float) -> int:
    """Run a command behind the line; returns its exit code."""
    pid, master = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        fcntl.ioctl(0, termios.TIOCSWINSZ, fcntl.ioctl(2, termios.TIOCGWINSZ, bytes(8)))
        os.execvp(command[0], command)
    signal.signal(signal.SIGWINCH, lambda *_: _copy_size(master))
    _copy_size(master)
    output, typed = Direction(master, 1, rate, delay), Direction(0, master, rate, delay)
    with _raw(0):
        is_open, is_typing = True, True
        while is_open or not output.is_empty:
            sources = [0] * is_typing + [master] * is_open
            ready = select.select(sources, [], [], MOMENT / 2)[0]
            if master in ready:
                is_open = output.take()
            if 0 in ready:
                is_typing = typed.take()
            output.pass_on()
            if is_open:
                typed.pass_on()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _copy_size(master: int) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def main() -> None:
    """Run the command that is given, or the screen."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.slow_pipe", description=__doc__)
    parser.add_argument("--rate", type=float, default=RATE, help="bytes per second")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds, in each direction")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command or [sys.executable, "-m", "workbench"]
    sys.exit(relay(command, options.rate, options.delay))


if __name__ == "__main__":
    main()
