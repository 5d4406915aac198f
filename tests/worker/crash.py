"""Kills a worker at a named point of its work: the data and the model of the run call `arm` as they are imported.

`WORKBENCH_CRASH` is `EVENT COUNT PATTERN`: at the COUNTth time that EVENT happens to a path that PATTERN (a regular
expression) is found in, the process ends by SIGKILL.

- `half`: a file is about to be synced: it is cut to its half first;
- `before`, `after`: a file is about to be renamed to the path, or just was;
- `line`: a line is about to be written: its first half is;
- `call`: a function is called by the source file at the path.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

_fsync, _replace, _write = os.fsync, os.replace, os.write


class Crash:
    """One point, and how often it has been passed."""

    def __init__(self, text: str) -> None:
        self.event, count, pattern = text.split(" ", 2)
        self.left, self.pattern = int(count), re.compile(pattern)

    def due(self, event: str, path: str) -> bool:
        """Whether this is the time to end."""
        if event != self.event or not self.pattern.search(path):
            return False
        self.left -= 1
        return self.left == 0

    def fsync(self, descriptor: int) -> None:
        if self.due("half", path_of(descriptor)):
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            die()
        _fsync(descriptor)

    def replace(self, source: Any, target: Any, **options: Any) -> None:
        if self.due("before", os.fspath(target)):
            die()
        _replace(source, target, **options)
        if self.due("after", os.fspath(target)):
            die()

    def write(self, descriptor: int, data: bytes) -> int:
        if self.due("line", path_of(descriptor)):
            _write(descriptor, data[: len(data) // 2])
            die()
        return _write(descriptor, data)

    def profile(self, frame: FrameType, event: str, _argument: Any) -> None:
        caller = frame.f_back
        if event == "call" and caller is not None and self.due("call", caller.f_code.co_filename):
            die()

    def install(self) -> None:
        os.fsync, os.replace, os.write = self.fsync, self.replace, self.write  # type: ignore[assignment]
        if self.event == "call":
            sys.setprofile(self.profile)


def path_of(descriptor: int) -> str:
    """The path of an open file."""
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def die() -> None:
    """End at once, with nothing cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm() -> None:
    """Prepare the crash if one is wanted, in a worker only: the process of the tests imports the same module."""
    crash = os.environ.get("WORKBENCH_CRASH")
    if crash is not None and b"workbench.worker.main" in Path("/proc/self/cmdline").read_bytes().split(b"\0"):
        Crash(crash).install()
