"""How much may be on its way to a terminal, by how fast it answers queries.

Between this process and a distant terminal, pty and SSH buffer megabytes, so a slow line can't be noticed by writing to
it. A terminal answers a query after it has shown what was sent before.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

FIRST_WINDOW = 2_000
"""Bytes that may be on their way until the line has been measured."""
MIN_WINDOW, MAX_WINDOW = 500, 32_000
QUEUE_SECONDS = 0.1
"""For so long, the line may be busy with what it got before a key."""
MIN_QUERIED = 200
"""Bytes from which on an update is worth a query."""
ANSWER_SECONDS = 10.0
"""An answer that takes longer is lost."""
SLOW, FAST = 16_000, 64_000
"""Bytes per second below which a line is slow, and above which it is not any more."""
SLOWEST = 500
UNKNOWN_SECONDS = 2.0
"""So long a line counts as slow whose terminal answers nothing: many never do."""


class LinePace:
    """Counts what is on its way, and measures the line by the time between answers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._unconfirmed: deque[tuple[float, int]] = deque()
        """When a query was sent, and how many bytes since the one before it."""
        self._unqueried = 0
        self._latency = math.inf
        self._answered_at = -math.inf
        self.rate = math.inf
        """Bytes per second, as far as known."""
        self.window = FIRST_WINDOW
        self._slow = True
        self._known_at = clock() + UNKNOWN_SECONDS

    @property
    def is_slow(self) -> bool:
        """Whether the line is slow, or nothing is known about it yet, as the terminal has not answered."""
        return self._slow and (self.rate < math.inf or self._clock() < self._known_at)

    @property
    def is_measured_slow(self) -> bool:
        """Whether the line was found to be slow."""
        return self._slow and self.rate < math.inf

    @property
    def chunk(self) -> int:
        """The bytes of one update: several fit into the window, so that the line is measured, and never idle."""
        return self.window // 3

    def clear(self) -> None:
        """Expect no answers any more."""
        self._unconfirmed.clear()
        self._unqueried = 0

    def send(self, size: int) -> bool:
        """Count an update of some bytes; returns whether a query must follow it."""
        self._unqueried += size
        if self._unqueried < min(MIN_QUERIED, self.chunk):
            return False
        self.expect_answer()
        return True

    def expect_answer(self) -> None:
        """A query is sent now."""
        self._unconfirmed.append((self._clock(), self._unqueried))
        self._unqueried = 0

    def answer(self, at: float) -> None:
        """Take note of an answer, which arrived at a time of the clock."""
        if not self._unconfirmed:
            return
        was_full = self._in_flight >= self.window
        sent, size = self._unconfirmed.popleft()
        self._latency = min(self._latency, at - sent)
        if self._answered_at > sent:  # it was behind other output, so that the line was never idle
            rate = size / max(1e-6, at - max(sent + self._latency, self._answered_at))
        else:
            rate = max(self.rate, size / max(1e-6, at - sent))
        self.rate = max(SLOWEST, min(rate, 2 * self.rate))
        self._answered_at = at
        self._slow = self.rate < (FAST if self._slow else SLOW)
        wanted = self.rate * (self._latency + QUEUE_SECONDS) if self.rate < math.inf else 2 * self.window
        if wanted < self.window or was_full:
            self.window = int(max(MIN_WINDOW, min(wanted, 2 * self.window, MAX_WINDOW)))

    def accepts(self) -> bool:
        """Whether another update may be sent."""
        while self._unconfirmed and self._unconfirmed[0][0] < self._clock() - ANSWER_SECONDS:
            self._unconfirmed.popleft()
        return self._in_flight < self.window

    @property
    def _in_flight(self) -> int:
        return sum(size for _, size in self._unconfirmed)
