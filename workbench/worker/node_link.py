"""The connection of a node with the first one while its ranks work."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from workbench.runs.requests import LOST_NODE_EXIT_CODE
from workbench.system.host import host_name
from workbench.system.processes import hold_during_forks
from workbench.worker.agent_signals import SIGNALS
from workbench.worker.agent_wait import supervisor_has_ended
from workbench.worker.elastic import kill_ranks
from workbench.worker.node_channel import (
    BEAT,
    END,
    SEEN,
    STOPS,
    VERDICT,
    Beat,
    Channel,
    ChannelClosed,
    RanksEnd,
    Sender,
    Verdict,
    item,
)
from workbench.worker.node_table import SILENT_SECONDS
from workbench.worker.node_usage import NodeSampler

BEAT_SECONDS = 1.0
POLL_SECONDS = 0.2


class NodeLink:
    """Gives signs of life, passes requests to stop on, and ends the ranks where the first node is lost.

    Two threads do that: one talks to the first node, and may hang in that for long where a host has lost its power.
    The other one looks whether it does.
    """

    def __init__(
        self, channel: Channel, place: int, sampler: NodeSampler, stop_requested: Callable[[], bool]
    ) -> None:
        self._channel, self._place, self._sampler = channel, place, sampler
        self._stop_requested = stop_requested
        self._answered = time.monotonic()
        self._stop_wanted = threading.Event()
        self._ended = threading.Event()
        self._is_closed = threading.Event()
        self._mutex = threading.Lock()

    def start(self) -> None:
        """Start the threads, before the ranks."""
        # A rank is forked at a moment at which the threads hold no lock that the rank would need.
        hold_during_forks(self._mutex)
        for work, name in ((self._talk, "signs of life"), (self._look, "supervision")):
            threading.Thread(target=work, name=name, daemon=True).start()

    def report(self, end: RanksEnd) -> Verdict | None:
        """Say how the ranks have ended; returns what follows, `None` where the first node is lost."""
        try:
            self._channel.put(item(END, self._place), end)
            while not self._is_closed.is_set():
                verdict = self._channel.get(VERDICT, Verdict)
                if verdict is not None:
                    self._ended.set()
                    self._channel.append(SEEN, Sender(host=host_name()))
                    return verdict
                time.sleep(POLL_SECONDS)
        except ChannelClosed:
            pass
        finally:
            self._ended.set()
        return None

    def _talk(self) -> None:
        count, has_asked = 1_000_000, False  # after all that it has given before the start
        try:
            while not self._ended.wait(BEAT_SECONDS):
                with self._mutex:
                    count += 1
                    self._channel.put(
                        item(BEAT, self._place), Beat(count=count, usage=self._sampler.sample())
                    )
                    if self._stop_wanted.is_set() and not has_asked:
                        has_asked = True
                        self._channel.append(STOPS, Sender(host=host_name()))
                    self._answered = time.monotonic()
        except ChannelClosed:
            self._is_closed.set()
            if not self._ended.is_set():
                kill_ranks()

    def _look(self) -> None:
        while not self._ended.is_set():
            received = signal.sigtimedwait(SIGNALS, POLL_SECONDS)
            if (received and received.si_signo != signal.SIGUSR1) or self._stop_requested():
                self._stop_wanted.set()
            if supervisor_has_ended() or time.monotonic() - self._answered > SILENT_SECONDS:
                kill_ranks()
                os._exit(LOST_NODE_EXIT_CODE)
