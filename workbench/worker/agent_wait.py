"""What an agent does while its run waits for a node: it holds the run, shows why, and stops it when asked to."""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from workbench.core.progress import Progress
from workbench.runs.enums import Cause, Phase
from workbench.runs.requests import StopReason, signal_stop_reason
from workbench.worker.agent_signals import SIGNALS
from workbench.worker.context import Context

POLL_SECONDS = 0.1


class Waiting:
    """Shows what a run waits for in its heartbeat, and knows whether it has to stop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._text = ""

    def show(self, text: str) -> None:
        """Show what the run waits for."""
        if text != self._text:
            self._text = text
            self._context.heartbeat.report_progress(Progress(text))

    def pause(self) -> StopReason | None:
        """Wait a moment; returns why the run has to stop, if it has to."""
        received = signal.sigtimedwait(SIGNALS, POLL_SECONDS)
        if received is not None and received.si_signo != signal.SIGUSR1:  # its checkpoint is there already
            return signal_stop_reason(received.si_signo)
        if supervisor_has_ended():
            return StopReason(Cause.SUPERVISOR_ENDED, "stopped because its supervisor ended")
        return self._context.requests.stop if self._context.requests.stop_requested() else None


@contextmanager
def waiting(context: Context) -> Iterator[Waiting]:
    """Show in the heartbeat that the run waits, until the context ends."""
    context.heartbeat.update(phase=Phase.WAITING_FOR_NODES)
    context.heartbeat.start()
    context.enter_phase(Phase.WAITING_FOR_NODES)
    try:
        yield Waiting(context)
    finally:
        context.heartbeat.update(phase=Phase.LOADING)
        context.heartbeat.stop()


def supervisor_has_ended() -> bool:
    """Whether the pipe on stdin has ended; nothing is ever written to it."""
    if not stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
        return False
    return bool(select.select([sys.stdin.fileno()], [], [], 0)[0])
