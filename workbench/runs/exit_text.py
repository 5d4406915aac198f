"""The end of a process in words."""

from __future__ import annotations

import signal


def describe_exit(code: int) -> str:
    """What a process did to end with exit code `code`, or minus the number of a signal: `was killed by SIGKILL`."""
    if code >= 0:
        return f"exited with code {code}, no error message"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory? see dmesg)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
