"""What happened while no screen was open, in one line."""

from __future__ import annotations

import time
from collections.abc import Sequence

from workbench.core import text
from workbench.io.record_codec import Record, read_record, write_record
from workbench.runs.metric_direction import lower_is_better
from workbench.runs.records import Heartbeat
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store

FILE = "screen.json"
REMEMBERED = 200
SHORTEST = 60.0
"""Seconds: whoever was away for less saw it all."""
NAMED = 3


class RunAtVisit(Record, frozen=True, kw_only=True):
    """A run as it was when the last screen was closed."""

    epoch: int = 0
    status: Status | None = None
    attempt: int = 0
    best: float | None = None


UNSEEN = RunAtVisit()


class LastVisit(Record, frozen=True, kw_only=True):
    """`screen.json`: the runs as they were when the last screen was closed."""

    time: float
    """Unix seconds."""
    runs: dict[str, RunAtVisit]
    """By their ids."""


def remember(rows: Sequence[RunSummary], store: Store, now: float | None = None) -> None:
    """Save the state of the runs for the next visit. A home that can't be written is not an error."""
    runs = {
        row.id: RunAtVisit(epoch=row.epoch, status=row.status, attempt=_attempt(row, store), best=row.best)
        for row in rows[:REMEMBERED]
    }
    try:
        write_record(store.home / FILE, LastVisit(time=now or time.time(), runs=runs), durable=False)
    except OSError:
        return


def recall(store: Store) -> LastVisit | None:
    """What the last visit saved; `None` where there is nothing to read."""
    return read_record(store.home / FILE, LastVisit)


def sum_up(before: LastVisit | None, rows: Sequence[RunSummary], store: Store, now: float) -> str:
    """`away 6h: +9 epochs, 1 resume, lr1 failed`; empty where there is nothing to tell."""
    if before is None or now - before.time < SHORTEST:
        return ""
    known, away = before.runs, text.duration(now - before.time)
    parts = _progress(known, rows, store) + _endings(known, rows) + _best(known, rows)
    return f"away {away}: {', '.join(parts)}" if parts else f"away {away}: nothing new"


def _progress(known: dict[str, RunAtVisit], rows: Sequence[RunSummary], store: Store) -> list[str]:
    epochs = sum(max(0, row.epoch - known.get(row.id, UNSEEN).epoch) for row in rows)
    resumes = sum(_resumes(known[row.id], row, store) for row in rows if row.id in known)
    parts = [f"+{epochs} epoch{'s' if epochs > 1 else ''}"] if epochs else []
    return parts + ([f"{resumes} resume{'s' if resumes > 1 else ''}"] if resumes else [])


def _best(known: dict[str, RunAtVisit], rows: Sequence[RunSummary]) -> list[str]:
    """The best of the figures that were reached meanwhile."""
    moved = [row for row in rows if row.best is not None and row.best != known.get(row.id, UNSEEN).best]
    shares = [row for row in moved if not lower_is_better(row.monitor)]
    chosen = (
        max(shares, key=lambda row: row.best or 0.0)
        if shares
        else min(moved, key=lambda row: row.best or 0.0, default=None)
    )
    return [f"best {text.fraction(chosen.best)} of {chosen.name}"] if chosen is not None else []


def _endings(known: dict[str, RunAtVisit], rows: Sequence[RunSummary]) -> list[str]:
    """Who ended, the failures first."""
    ended = [
        row for row in rows if not row.status.live and known.get(row.id, UNSEEN).status is not row.status
    ]
    order = [Status.FAILED, Status.LOST, Status.UNKNOWN, Status.STOPPED, Status.FINISHED]
    ended.sort(key=lambda row: order.index(row.status))
    parts = [f"{row.name} {row.status}" for row in ended[:NAMED]]
    return parts + ([f"{len(ended) - NAMED} more ended"] if len(ended) > NAMED else [])


def _resumes(before: RunAtVisit, row: RunSummary, store: Store) -> int:
    moved = row.status.live or before.status is not row.status or before.epoch != row.epoch
    return max(0, _attempt(row, store) - before.attempt) if moved else 0


def _attempt(row: RunSummary, store: Store) -> int:
    """The newest attempt of a run that was just looked at."""
    beat = read_record(store.folder(row.id).heartbeat, Heartbeat)
    return beat.attempt if beat else 0
