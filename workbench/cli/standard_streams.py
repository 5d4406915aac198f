"""Standard streams that are closed, or whose reader has gone."""

from __future__ import annotations

import os
import sys


def discard_stdout() -> None:
    """Make the interpreter's last flush of stdout succeed."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def discard_unwritable_stdout() -> None:
    """Discard the rest of an output that can't be written, which would fail again when the interpreter ends."""
    try:
        sys.stdout.flush()
    except OSError:
        discard_stdout()


def open_standard_streams() -> None:
    """Replace standard streams that are closed (`>&-`) with the null device.

    Without this, the next file that is opened gets their number, and `print(file=None)` prints errors on stdout.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
