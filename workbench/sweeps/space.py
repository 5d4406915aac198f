"""The values that a sweep tries for a setting: `log:1e-4:1e-1`, `1:8`, `0.0..0.5` or `a,b,c`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from workbench.config.variants import BAR, split_values
from workbench.core.errors import UserError
from workbench.core.text import format_compact

ParamValue = int | float | str
"""The value of a setting in a trial: a number from a range, or a choice as it was typed."""

LOG = "log:"
FORMS = "log:1e-4:1e-1, 1:8 (whole numbers), 0.0..0.5 or a,b,c"
MAX_GRID_RANGE = 1000
"""Whole numbers of a range that a grid may have."""


@dataclass(frozen=True)
class Choices:
    """Values without an order: `a,b,c`, or `256,128 | 64` where a value has commas."""

    values: tuple[str, ...]
    is_numeric: ClassVar[bool] = False

    @property
    def ends(self) -> tuple[ParamValue, ...]:
        """The values that show whether all of them are valid for the setting."""
        return self.values

    @property
    def grid(self) -> tuple[ParamValue, ...]:
        """All values."""
        return self.values

    def position(self, value: ParamValue) -> float:
        """Where a value is on an axis of these, from 0 to 1."""
        return self.values.index(str(value)) / (len(self.values) - 1) if str(value) in self.values else 0.0

    def value_at(self, position: float) -> ParamValue:
        """The value nearest to a position from 0 to 1."""
        return self.values[round(position * (len(self.values) - 1))]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; `whole`: only whole ones."""

    low: float
    high: float
    whole: bool = False
    log: bool = False
    is_numeric: ClassVar[bool] = True

    @property
    def ends(self) -> tuple[ParamValue, ...]:
        """The values that show whether all of them are valid for the setting."""
        return self.low, self.high

    @property
    def grid(self) -> tuple[ParamValue, ...]:
        """All values, ascending; empty where they are too many to try each."""
        if not self.whole or self.log or self.high - self.low >= MAX_GRID_RANGE:
            return ()
        return tuple(range(int(self.low), int(self.high) + 1))

    def position(self, value: ParamValue) -> float:
        """Where a value is on an axis of these, from 0 to 1; the axis of `log:` is logarithmic."""
        if isinstance(value, str) or (self.log and value <= 0):
            return 0.0
        first, last, place = (math.log(n) if self.log else n for n in (self.low, self.high, value))
        return min(max((place - first) / (last - first), 0.0), 1.0)

    def value_at(self, position: float) -> ParamValue:
        """The value at a position from 0 to 1."""
        ratio, span = self.high / self.low if self.log else 1.0, self.high - self.low
        value = self.low * ratio**position if self.log else self.low + span * position
        return round(value) if self.whole else value


Space = Choices | Range
"""The values of one setting."""


def format_value(value: ParamValue) -> str:
    """A value in few cells; choices and whole numbers as they are."""
    return format_compact(value) if isinstance(value, float) else str(value)


def parse_param(text: str) -> tuple[str, str]:
    """Setting and space of `KEY=SPACE`. Raises `UserError`."""
    key, equals, space = text.partition("=")
    if not equals or not key.strip() or not space.strip():
        raise UserError(f"--param expects KEY=SPACE, not '{text}': SPACE is {FORMS}")
    return key.strip(), space.strip()


def parse_space(key: str, text: str) -> Space:
    """The values that `text` means for the setting `key`. Raises `UserError`."""
    if BAR in text or "," in text:
        return _parse_choices(key, text)
    if text.startswith(LOG):
        low, high = _parse_ends(key, text, text.removeprefix(LOG), ":")
        if low <= 0:
            raise UserError(f"--param {key}={text}: a logarithmic range starts above 0, not at {low:g}")
        return _make_range(low, high, log=True)
    if ".." in text:
        low, high = _parse_ends(key, text, text, "..")
        return Range(float(low), float(high))
    if ":" in text:
        low, high = _parse_ends(key, text, text, ":")
        if isinstance(low, float) or isinstance(high, float):
            raise UserError(
                f"--param {key}={text}: LOW:HIGH is for whole numbers; write {low:g}..{high:g} for all numbers between"
            )
        return Range(low, high, whole=True)
    raise UserError(
        f"--param {key}={text}: one value is nothing to search (--set {key}={text} sets it); SPACE is {FORMS}"
    )


def _make_range(low: float, high: float, *, log: bool) -> Space:
    """Whole numbers where both ends are written as such."""
    if isinstance(low, int) and isinstance(high, int):
        return Range(low, high, whole=True, log=log)
    return Range(float(low), float(high), log=log)


def _parse_choices(key: str, text: str) -> Choices:
    values = split_values(text)
    if not all(values):
        raise UserError(f"--param {key}={text}: an empty value among several")
    if len(set(values)) < len(values):
        raise UserError(f"--param {key}={text}: the same value twice")
    if len(values) < 2:
        raise UserError(f"--param {key}={text}: one value is nothing to search; SPACE is {FORMS}")
    return Choices(tuple(values))


def _parse_ends(key: str, text: str, ends: str, separator: str) -> tuple[float, float]:
    """The two ends of a range, whole numbers as `int`."""
    low, found, high = ends.partition(separator)
    numbers = [_number(part) for part in (low, high)] if found else [None]
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        raise UserError(f"--param {key}={text} is no range of numbers; SPACE is {FORMS}")
    if numbers[0] >= numbers[1]:
        raise UserError(f"--param {key}={text}: the range must end above its start")
    return numbers[0], numbers[1]


def _number(text: str) -> int | float | None:
    """The finite number in `text`, whole ones as `int`."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
