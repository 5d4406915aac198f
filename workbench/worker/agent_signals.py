"""The signals that an agent gets from its supervisor, and passes on to rank 0."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

from workbench.runs.locks import WRITER, holder_pid
from workbench.runs.run_folder import RunFolder

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""Signals of the supervisor, which rank 0 handles: it lets all ranks act at the same step."""
POLL_SECONDS = 0.05


def forward_signals(folder: RunFolder) -> None:
    """Pass signals, which are blocked in this process, on to rank 0."""
    threading.Thread(target=_forward_signals, args=(folder,), name="signals", daemon=True).start()


def _forward_signals(folder: RunFolder) -> None:
    while True:
        number = signal.sigwait(SIGNALS)
        while (pid := holder_pid(folder.lock, WRITER)) is None:  # rank 0 has not started yet
            time.sleep(POLL_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
