"""What the columns of a table and the keys of a record mean: step, epoch, wall time, or a metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


class Role(Enum):
    """What a column holds."""

    STEP = auto()
    EPOCH = auto()
    WALL_TIME = auto()
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
}
MISSING = frozenset({"", "NA", "N/A", "None", "null", "-"})


def role(name: str) -> Role:
    """The role of a column, by its name."""
    return _ROLES.get(name.strip().lower().replace(" ", "_"), Role.METRIC)


def is_axis(name: str) -> bool:
    """Whether a column holds steps or epochs."""
    return role(name) in {Role.STEP, Role.EPOCH}


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
        for name, value in numbers(record.items()):
            kind = role(name)
            if kind is Role.STEP and row.step is None:
                row.step = value
            elif kind is Role.EPOCH:
                row.epoch = value
            elif kind is Role.WALL_TIME:
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
