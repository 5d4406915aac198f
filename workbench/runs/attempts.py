"""The attempts of a run: the number of the last one, and the step at which each started."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import reduce
from operator import add

from workbench.core.distribution import version_of
from workbench.io.record_codec import read_record
from workbench.runs.journal import (
    Attempt,
    GpuChoice,
    JournalLine,
    Notice,
    PhaseChange,
    attempts_of,
    read_journal,
)
from workbench.runs.records import Exit, Heartbeat, Seconds
from workbench.runs.run_folder import RunFolder

RECORDED_PACKAGES = ("workbench", "torch", "torchvision", "numpy")
"""Packages whose versions an `attempt` line contains, in addition to Python's."""


def installed_versions() -> dict[str, str | None]:
    """The versions of `RECORDED_PACKAGES` and of Python; `None` for a package that is not installed."""
    return {name: version_of(name) for name in RECORDED_PACKAGES} | {"python": sys.version.split()[0]}


def last_attempt_number(folder: RunFolder) -> int:
    """The highest attempt number in journal, heartbeat and exit record (any may be lost); 0 before the first."""
    beat, ended = read_record(folder.heartbeat, Heartbeat), read_record(folder.exit, Exit)
    known = [*attempts_of(read_journal(folder.journal)), *(record for record in (beat, ended) if record)]
    return max((record.attempt for record in known), default=0)


def repeated_start(folder: RunFolder, count: int) -> int | None:
    """The step from which all of the newest `count` attempts started; `None` where there are fewer, or one got on."""
    attempts = attempts_of(read_journal(folder.journal))[-count:]
    steps = {attempt.from_step or 0 for attempt in attempts}
    return steps.pop() if len(attempts) == count and len(steps) == 1 else None


def assigned_gpus(folder: RunFolder, attempt: int) -> tuple[GpuChoice, ...]:
    """The GPUs that the supervisor gave to an attempt, one for each process; empty without one."""
    records = attempts_of(read_journal(folder.journal))
    return next((record.assigned for record in reversed(records) if record.attempt == attempt), ())


def start_steps(journal: Iterable[JournalLine]) -> dict[int, int]:
    """The first step of each attempt, by attempt number.

    The supervisor records the step of the newest checkpoint; a worker that can't read that one corrects it in a
    notice.
    """
    return {
        record.attempt: record.from_step
        for record in journal
        if isinstance(record, Attempt | Notice) and record.from_step is not None
    }


def total_seconds(journal: Iterable[JournalLine], beat: Heartbeat) -> Seconds:
    """Wall time by activity, in seconds, summed over attempts including the current one."""
    by_attempt = {
        line.attempt: line.seconds for line in journal if isinstance(line, PhaseChange) and line.seconds
    }
    if beat.seconds and beat.seconds.total >= by_attempt.get(beat.attempt, Seconds()).total:
        by_attempt[beat.attempt] = beat.seconds
    return reduce(add, by_attempt.values(), Seconds())
