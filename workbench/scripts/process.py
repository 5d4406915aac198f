"""The process of a script, in a session and a process group of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping

from workbench.core.errors import UserError
from workbench.runs.script import Script
from workbench.system.process_tree import end_with_parent

TERMINAL_SIZE = (24, 120)
"""Rows and columns of a script's pseudo-terminal."""


class ScriptProcess:
    """A running script. Start it before any thread: what it does between fork and exec is Python code."""

    def __init__(self, script: Script, environment: Mapping[str, str]) -> None:
        """Start the script. Raises `UserError` where that is impossible."""
        reading, writing = _open_terminal() if script.pty else os.pipe()
        try:
            self._process = subprocess.Popen(
                script.command, cwd=script.working_directory or None, env=environment, stdin=subprocess.DEVNULL,
                stdout=writing, stderr=writing, start_new_session=True,
                preexec_fn=_prepare,  # noqa: PLW1509  (there are no threads yet)
            )  # fmt: skip
        except (OSError, ValueError) as error:
            os.close(reading)
            raise UserError(_start_error(script, error)) from None
        finally:
            os.close(writing)
        self.output = reading
        """The descriptor to read its stdout and stderr from."""

    def wait(self, seconds: float) -> int | None:
        """Its exit code, or minus the number of the signal that killed it; `None` where it runs on after `seconds`."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _prepare() -> None:
    """In the new process, before the program: it gets signals, and it does not outlive its worker."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    end_with_parent()


def _start_error(script: Script, error: Exception) -> str:
    if not os.path.isdir(script.working_directory or "."):  # noqa: PTH112  (never raises)
        return f"the working directory {script.working_directory} is missing"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{script.command[0]!r} can't be started: {reason}"


def _open_terminal() -> tuple[int, int]:
    """Both ends of a new pseudo-terminal: the one to read from, and the one for a script."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *TERMINAL_SIZE, 0, 0))
    return ours, theirs
