"""Reading logs in tests."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from workbench.logs.discovery import find_logs
from workbench.logs.log import Log
from workbench.logs.open_log import open_log

Points = dict[str, list[tuple[int, float | str]]]


def read(path: Path) -> Log:
    """The one log in a file or folder, read to its end."""
    (source,) = find_logs(path)
    log = open_log(source)
    poll_all(log)
    return log


def poll_all(log: Log) -> bool:
    """Poll until everything is read; whether anything changed."""
    changed = log.poll()
    while log.pending:
        changed |= log.poll()
    return changed


def points(log: Log) -> Points:
    """Steps and values of all metrics; NaN, which is not equal to itself, as text."""
    return {name: comparable(zip(one.steps, one.values, strict=True)) for name, one in log.series.items()}


def comparable(pairs: Iterable[tuple[int, float]]) -> list[tuple[int, float | str]]:
    """Points that can be compared."""
    return [(step, "NaN" if math.isnan(value) else value) for step, value in pairs]
