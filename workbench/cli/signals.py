"""What Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 do to a command that works or waits.

The handlers are set explicitly: the kernel ignores a signal to process 1 of a container that has no handler.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Self

Handler = Callable[[int, FrameType | None], None]


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: the command ends as at Ctrl-C, after cleaning up."""


@contextlib.contextmanager
def interrupt_on_termination() -> Iterator[None]:
    """Inside the context, SIGTERM and SIGHUP raise `Terminated` once, and SIGUSR1 does nothing.

    Only the first is raised: `timeout` sends two SIGTERM at once, and the second would interrupt the cleaning up.
    """
    terminated = False

    def terminate(number: int, _frame: FrameType | None) -> None:
        nonlocal terminated
        if not terminated:
            terminated = True
            raise Terminated(signal.Signals(number).name)

    def ignore(_number: int, _frame: FrameType | None) -> None:
        """Unlike `SIG_IGN`, a handler is not inherited by child processes."""

    with _handlers({signal.SIGTERM: terminate, signal.SIGHUP: terminate, signal.SIGUSR1: ignore}):
        yield


class SignalRecorder:
    """Records Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 inside the context, for a command that waits for a run."""

    def __init__(self) -> None:
        self._received: list[signal.Signals] = []

    def __enter__(self) -> Self:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
        self._context = _handlers(dict.fromkeys(numbers, self._record))
        self._context.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._context.__exit__(None, None, None)

    def _record(self, number: int, _frame: FrameType | None) -> None:
        self._received.append(signal.Signals(number))

    def take(self) -> list[signal.Signals]:
        """The signals received since the last call, oldest first."""
        received, self._received = self._received, []
        return received


@contextlib.contextmanager
def _handlers(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Set the handlers inside the context; a signal that is ignored (`nohup`, `&` in a script) remains ignored."""
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler_before in previous.items():
            signal.signal(number, handler_before)


def is_init_process() -> bool:
    """Whether this is process 1 of its container, with which the kernel ends every other process, also the run's."""
    return os.getpid() == 1


def wait_for_orphans() -> None:
    """As process 1, wait for processes that outlive a run, such as its `on_finish` command."""
    with contextlib.suppress(ChildProcessError):
        while is_init_process():
            os.wait()
