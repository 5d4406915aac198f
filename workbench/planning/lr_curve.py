"""The loss over the learning rate, as a range test measured it, and the rates that it suggests."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

LOWEST_RATE, HIGHEST_RATE = 1e-6, 10.0
STEPS_PER_DECADE = 20
SMOOTHED_STEPS = 4
"""So many steps on both sides are averaged with each: a running mean would be behind by as many."""


def trial_rates() -> list[float]:
    """The learning rates of a range test, equally spaced on a log scale."""
    decades = 7  # from LOWEST_RATE to HIGHEST_RATE
    count = decades * STEPS_PER_DECADE
    return [LOWEST_RATE * (HIGHEST_RATE / LOWEST_RATE) ** (i / count) for i in range(count + 1)]


class LrCurve(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a range test."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """Of one step at each rate."""
    smoothed: tuple[float, ...]
    steepest: float | None = None
    """The rate at which the smoothed loss falls fastest; `None` where it falls nowhere."""
    valley: float | None = None
    """A rate in the middle of the longest fall, which is lower and more careful; `None` likewise."""
    notices: tuple[str, ...] = ()

    @property
    def suggestion(self) -> float | None:
        """The rate to use: that of the steepest descent."""
        return self.steepest


def make_curve(rates: Sequence[float], losses: Sequence[float], notices: tuple[str, ...] = ()) -> LrCurve:
    """The curve of these losses, with its suggestions."""
    count = len(losses)
    smoothed = [_mean_around(losses, index) for index in range(count)]
    lowest = min(range(count), key=smoothed.__getitem__, default=0)
    usable = smoothed[: lowest + 1]  # beyond it, the loss rises
    return LrCurve(
        rates=tuple(rates[:count]),
        losses=tuple(losses),
        smoothed=tuple(smoothed),
        steepest=_rounded(rates, _steepest(usable)),
        valley=_rounded(rates, _valley(usable)),
        notices=notices,
    )


def _mean_around(values: Sequence[float], index: int) -> float:
    near = values[max(0, index - SMOOTHED_STEPS) : index + SMOOTHED_STEPS + 1]
    return sum(near) / len(near)


def _rounded(rates: Sequence[float], index: int | None) -> float | None:
    """The rate with two digits, as people write them."""
    return None if index is None else float(f"{rates[index]:.2g}")


def _steepest(losses: Sequence[float]) -> int | None:
    """The index at which the loss falls fastest per step, that is, per factor of the rate."""
    slopes = {i: losses[i + 1] - losses[i - 1] for i in range(1, len(losses) - 1)}
    steepest = min(slopes, key=lambda i: slopes[i], default=None)
    return steepest if steepest is not None and slopes[steepest] < 0 else None


def _valley(losses: Sequence[float]) -> int | None:
    """The index halfway through the second third of the longest falling subsequence, as fastai's `valley`."""
    lengths = [1] * len(losses)
    for i in range(len(losses)):
        for j in range(i):
            if losses[i] < losses[j]:
                lengths[i] = max(lengths[i], lengths[j] + 1)
    if max(lengths, default=1) < 2:
        return None
    end = max(range(len(losses)), key=lambda i: lengths[i])
    start = max(0, end - lengths[end])
    third = (end - start) / 3
    return start + int(third) + int(third / 2)
