"""What may be on its way depends on how fast a line turned out to be."""

from __future__ import annotations

import pytest

from workbench.ui.base.line_pace import (
    ANSWER_SECONDS,
    FIRST_WINDOW,
    MAX_WINDOW,
    SLOW,
    UNKNOWN_SECONDS,
    LinePace,
)


class Line:
    """A line of a rate (bytes per second) and a delay, and a program that always has something to send."""

    def __init__(self, rate: float, delay: float) -> None:
        self.rate, self.delay, self.now = rate, delay, 0.0
        self.pace = LinePace(lambda: self.now)
        self._idle_at = 0.0
        self._answers: list[float] = []

    def run(self, seconds: float, update: int = 10_000) -> int:
        """Send as much as the pace allows, in updates of at most so many bytes; returns how much was sent."""
        sent, end = 0, self.now + seconds
        while self.now < end:
            while self.pace.accepts():
                size = min(update, self.pace.chunk)
                self._idle_at = max(self._idle_at, self.now) + size / self.rate
                sent += size
                if self.pace.send(size):
                    self._answers.append(self._idle_at + self.delay)
            assert self._answers, "nothing would ever be sent again"
            self.now = self._answers.pop(0)
            self.pace.answer(self.now)
        return sent

    @property
    def busy_seconds(self) -> float:
        """How long a key's answer would wait for what was sent before it."""
        return max(0.0, self._idle_at - self.now)


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.3])
def test_a_slow_line_is_kept_busy_for_a_moment_only(delay: float) -> None:
    line = Line(4_000, delay)
    line.run(3)
    assert line.pace.is_slow
    assert line.pace.rate == pytest.approx(4_000, rel=0.3)
    assert line.busy_seconds < 0.3
    assert line.run(10) > 0.8 * 10 * 4_000, "it is used"


def test_a_fast_line_carries_much_even_if_its_answers_take_long() -> None:
    line = Line(10e6, 0.2)
    line.run(3)
    assert not line.pace.is_slow
    assert line.pace.window == MAX_WINDOW
    assert line.run(5) > 100_000 * 5


def test_an_unknown_line_is_slow_until_an_answer_and_a_slow_one_stays_so_until_it_is_much_faster() -> None:
    line = Line(10e6, 0.05)
    assert line.pace.is_slow
    line.run(0.2)
    assert not line.pace.is_slow
    line.rate = SLOW / 2
    line.run(20)
    assert line.pace.is_slow
    line.rate = 2 * SLOW
    line.run(20)
    assert line.pace.is_slow, "colors do not change back and forth"


def test_a_terminal_that_never_answers_gets_all_colors_soon() -> None:
    line = Line(10e6, 0.05)
    assert line.pace.is_slow
    line.now += UNKNOWN_SECONDS
    assert not line.pace.is_slow


def test_a_line_that_becomes_slow_or_fast_is_measured_again() -> None:
    line = Line(10e6, 0.05)
    line.run(2)
    line.rate = 4_000
    line.run(20)
    assert line.pace.is_slow
    assert line.busy_seconds < 0.5
    line.rate = 10e6
    line.run(20)
    assert not line.pace.is_slow


def test_small_updates_need_no_query_each_and_answers_that_never_come_are_given_up() -> None:
    line = Line(4_000, 0.0)
    assert not line.pace.send(20)
    assert line.pace.send(FIRST_WINDOW)
    assert not line.pace.accepts()
    line.now += ANSWER_SECONDS + 1
    assert line.pace.accepts()
