"""The identity of this host."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path


def host_name() -> str:
    """The name of this host, as in records."""
    return socket.gethostname()


@cache
def boot_id() -> str:
    """An id that changes at every boot of this host; `$WORKBENCH_BOOT_ID` or empty without /proc."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return os.environ.get("WORKBENCH_BOOT_ID", "")
