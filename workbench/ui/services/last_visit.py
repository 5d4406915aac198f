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
from workbench.ui.base.status_style import display_name

FILE_NAME = "screen.json"
MAX_RUNS = 200
MIN_AWAY_SECONDS = 60.0
"""A shorter absence is not summarized."""
MAX_NAMED_RUNS = 3


class RunAtVisit(Record, frozen=True, kw_only=True):
    """A run as it was when the last screen was closed."""

    epoch: int = 0
    status: Status | None = None
    attempt: int = 0
    best: float | None = None
    """Best value of the monitored metric on validation data."""


UNSEEN = RunAtVisit()


class LastVisit(Record, frozen=True, kw_only=True):
    """`screen.json`: the runs as they were when the last screen was closed."""

    time: float
    """Unix seconds."""
    runs: dict[str, RunAtVisit]
    """By their ids."""


def save(rows: Sequence[RunSummary], store: Store, now: float | None = None) -> None:
    """Save the state of the runs for the next visit. A home that can't be written to is not an error."""
    runs = {
        row.id: RunAtVisit(epoch=row.epoch, status=row.status, attempt=_attempt(row, store), best=row.best)
        for row in rows[:MAX_RUNS]
    }
    try:
        write_record(store.home / FILE_NAME, LastVisit(time=now or time.time(), runs=runs), durable=False)
    except OSError:
        return


def load(store: Store) -> LastVisit | None:
    """The last visit; `None` if there is no readable record of it."""
    return read_record(store.home / FILE_NAME, LastVisit)


def summarize(before: LastVisit | None, rows: Sequence[RunSummary], store: Store, now: float) -> str:
    """`away 6h: +9 epochs, 1 resume, lr1 failed`; empty if the absence was short or the last visit is unknown."""
    if before is None or now - before.time < MIN_AWAY_SECONDS:
        return ""
    known, away = before.runs, text.format_duration(now - before.time)
    parts = _progress(known, rows, store) + _endings(known, rows) + _best(known, rows)
    return f"away {away}: {', '.join(parts)}" if parts else f"away {away}: nothing new"


def _progress(known: dict[str, RunAtVisit], rows: Sequence[RunSummary], store: Store) -> list[str]:
    epochs = sum(max(0, row.epoch - known.get(row.id, UNSEEN).epoch) for row in rows)
    resumes = sum(_resumes(known[row.id], row, store) for row in rows if row.id in known)
    parts = [f"+{text.plural(epochs, 'epoch')}"] if epochs else []
    return parts + ([text.plural(resumes, "resume")] if resumes else [])


def _best(known: dict[str, RunAtVisit], rows: Sequence[RunSummary]) -> list[str]:
    """The best metric that was reached during the absence."""
    improved = [row for row in rows if row.best is not None and row.best != known.get(row.id, UNSEEN).best]
    scores = [row for row in improved if not lower_is_better(row.monitor)]
    best = (
        max(scores, key=lambda row: row.best or 0.0)
        if scores
        else min(improved, key=lambda row: row.best or 0.0, default=None)
    )
    score = best.best_score if best is not None else None
    if best is None or score is None:
        return []
    return [f"best {score.text_without_epoch} of {display_name(best, rows)}"]


def _endings(known: dict[str, RunAtVisit], rows: Sequence[RunSummary]) -> list[str]:
    """The runs that ended, failures first; of a log of another program it isn't known."""
    order = [Status.FAILED, Status.CRASHED, Status.UNKNOWN, Status.STOPPED, Status.FINISHED]
    ended = [
        row for row in rows if row.status in order and known.get(row.id, UNSEEN).status is not row.status
    ]
    ended.sort(key=lambda row: order.index(row.status))
    parts = [ending_text(row, rows) for row in ended[:MAX_NAMED_RUNS]]
    return parts + ([f"{len(ended) - MAX_NAMED_RUNS} more ended"] if len(ended) > MAX_NAMED_RUNS else [])


def ending_text(row: RunSummary, rows: Sequence[RunSummary]) -> str:
    """`lr1 failed`, `lr2 finished test .904`."""
    score = (
        f" {row.test_score.text_without_epoch}" if row.test_score and row.status is Status.FINISHED else ""
    )
    return f"{display_name(row, rows)} {row.status}{score}"


def _resumes(before: RunAtVisit, row: RunSummary, store: Store) -> int:
    changed = row.status.live or before.status is not row.status or before.epoch != row.epoch
    return max(0, _attempt(row, store) - before.attempt) if changed else 0


def _attempt(row: RunSummary, store: Store) -> int:
    """The newest attempt of a run."""
    beat = read_record(store.folder(row.id).heartbeat, Heartbeat)
    return beat.attempt if beat else 0
