"""Makes a process believe that it runs on another host, which mounts our disk without locks.

What Python imports first where `PYTHONPATH` leads here.
"""

from __future__ import annotations

import errno
import fcntl
import socket
from typing import Any

_fcntl = fcntl.fcntl


def no_locks(*_arguments: Any) -> Any:
    raise OSError(errno.ENOLCK, "No locks available")


def fcntl_without_locks(descriptor: int, command: int, argument: Any = 0) -> Any:
    return (no_locks if command == fcntl.F_GETLK else _fcntl)(descriptor, command, argument)


fcntl.lockf, fcntl.fcntl = no_locks, fcntl_without_locks  # type: ignore[assignment]
socket.gethostname = lambda: "elsewhere"
