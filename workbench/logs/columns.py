"""What the columns of a table and the keys of a record mean: step, epoch, wall time, or a metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from functools import lru_cache


class Role(Enum):
    """What a column holds."""

    STEP = auto()
    EPOCH = auto()
    WALL_TIME = auto()
    TIME = auto()
    """A wall time if it holds dates, else a metric: the time that something took."""
    METRIC = auto()


_ROLES = {
    **dict.fromkeys(
        (
            "step",
            "steps",
            "_step",
            "global_step",
            "trainer/global_step",
            "iteration",
            "iterations",
            "iter",
            "batch",
        ),
        Role.STEP,
    ),
    **dict.fromkeys(("epoch", "epochs"), Role.EPOCH),
    **dict.fromkeys(("wall_time", "walltime", "timestamp", "_timestamp"), Role.WALL_TIME),
    **dict.fromkeys(("time", "date", "datetime"), Role.TIME),
}
MIN_DATE = 1e9
"""Unix seconds in 2001: a smaller number is not a date."""
MISSING = frozenset({"", "NA", "N/A", "None", "null", "-"})


@lru_cache(maxsize=4096)
def role(name: str) -> Role:
    """The role of a column, by its name."""
    return _ROLES.get(name.strip().lower().replace(" ", "_"), Role.METRIC)


def is_axis(name: str) -> bool:
    """Whether a column holds steps or epochs."""
    return role(name) in {Role.STEP, Role.EPOCH}


def begin_with_axis(names: Iterable[str]) -> bool:
    """Whether the first column is a step or an epoch; a wall time may stand before it."""
    return is_axis(next((name for name in names if role(name) not in {Role.WALL_TIME, Role.TIME}), ""))


def is_number(text: str) -> bool:
    """Whether a cell is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def json_number(value: object) -> float | None:
    """A number in JSON, which has NaN and infinities only as text; `None` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and value.lower().lstrip("+-") not in {"nan", "inf", "infinity"}:
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def wall_seconds(value: object) -> float:
    """A wall time in Unix seconds: a number, or text in ISO 8601, local where it names no zone; NaN for all else."""
    if isinstance(value, str) and not is_number(value):
        try:
            return datetime.fromisoformat(value.strip()).timestamp()
        except (ValueError, OverflowError):
            return math.nan
    try:
        return float(value) if isinstance(value, int | float | str) else math.nan
    except OverflowError:
        return math.nan


@dataclass(slots=True)
class Row:
    """One record: where it belongs, and its metrics."""

    step: float | None = None
    epoch: float = math.nan
    wall_time: float = math.nan
    metrics: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Mapping[str, object]) -> Row:
        """The row in a record; nested names are joined with `/`, what is not a number is left out."""
        row = cls()
        for name, value in record.items():
            if isinstance(value, str) and role(name) in {Role.WALL_TIME, Role.TIME}:
                row.wall_time = wall_seconds(value)
        for name, value in numbers(record.items()):
            kind = role(name)
            if kind is Role.STEP and row.step is None:
                row.step = value
            elif kind is Role.EPOCH:
                row.epoch = value
            elif kind is Role.WALL_TIME or (kind is Role.TIME and value > MIN_DATE):
                row.wall_time = value
            else:
                row.metrics[name] = value
        if row.step is None and not math.isnan(row.epoch):
            row.step = row.epoch
        return row


def numbers(
    items: Iterable[tuple[str, object]], prefix: str = "", depth: int = 10
) -> Iterator[tuple[str, float]]:
    """The numbers in nested mappings."""
    for key, value in items:
        name = f"{prefix}{key}"
        if isinstance(value, dict) and depth:
            yield from numbers(value.items(), f"{name}/", depth - 1)
        elif (number := json_number(value)) is not None:
            yield name, number
