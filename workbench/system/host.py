"""Who this host is."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path


def host() -> str:
    """This host's name, as records carry it."""
    return socket.gethostname()


@cache
def boot_id() -> str:
    """What changes at every start of this host; empty where the system tells nothing of the kind."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return os.environ.get("WORKBENCH_BOOT_ID", "")
