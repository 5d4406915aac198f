"""A worker that a supervisor forks ahead of time, where it was itself forked with PyTorch imported."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection, Sequence

from workbench.io.record_codec import decode, encode
from workbench.launcher.fork_protocol import Program


class ForkedWorker:
    """A child of this process that becomes a program once `start` is called; if this process ends before, it does too.

    Create it before this process reads the driver of a GPU or starts a thread: neither survives a fork. It writes to
    the stdout and stderr of this process, and its stdin ends with this process.
    """

    def __init__(self, blocked: Collection[signal.Signals], not_inherited: Sequence[int]) -> None:
        """`blocked`: signals that the program itself has to unblock; `not_inherited`: descriptors to close in it."""
        stdin, self._stdin = os.pipe()
        orders, self._orders = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(stdin, 0)
            for descriptor in (stdin, self._stdin, self._orders, *not_inherited):
                os.close(descriptor)
            _follow_order(orders)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        os.close(stdin)
        os.close(orders)

    def start(self, program: Program) -> None:
        """Let it become `program`."""
        with os.fdopen(self._orders, "wb") as orders:
            orders.write(encode(program))

    def wait(self) -> int:
        """Wait for its end; returns the exit code, or minus the number of the signal that killed it."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._stdin)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal; call it only before the end of `wait`."""
        os.kill(self.pid, number)


def _follow_order(orders: int) -> None:
    with os.fdopen(orders, "rb") as pipe:
        program = decode(pipe.read(), Program)
    if program is not None:  # the supervisor has not ended
        program.run()
    sys.exit()
