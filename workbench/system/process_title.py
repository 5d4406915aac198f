"""The command of a process as `ps` and /proc show it, for processes that begin as a copy of another one. Only Linux.

The kernel shows the memory that held the arguments when the program was started. A program that is started with
`PADDING` as its last argument has room there for the command of what it, or a copy of it, becomes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Sequence

from workbench.system.processes import stat_fields

PADDING = " " * 4096

_ARGUMENTS_START, _ARGUMENTS_END = 45, 46
"""The places of `arg_start` and `arg_end` in /proc/self/stat, among the `stat_fields`."""


def set_command(command: Sequence[str]) -> None:
    """Show `command` as this process's own; the end of what has no room is missing."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = stat_fields(os.getpid())
        start, size = (
            int(fields[_ARGUMENTS_START]),
            int(fields[_ARGUMENTS_END]) - int(fields[_ARGUMENTS_START]),
        )
        if start > 0 and size > 0:  # both are 0 where the kernel hides them
            shown = b"\0".join(os.fsencode(part) for part in command)[: size - 1]
            ctypes.memset(start, 0, size)
            ctypes.memmove(start, shown, len(shown))
