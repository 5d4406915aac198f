"""What happened while no screen was open, in one line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from workbench import paths, text
from workbench.io.atomic import read_json, write_json
from workbench.runs.layout import RunFolder
from workbench.runs.records import number
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store

FILE = "screen.json"
REMEMBERED = 200
SHORTEST = 60.0
"""Seconds: whoever was away for less saw it all."""
NAMED = 3
LOWER = {"loss", "mse", "mae"}
"""Figures of which the lowest is the best."""


def remember(rows: Sequence[RunSummary], now: float | None = None) -> None:
    """Write down how things stand, for the next screen. A home that can't be written is no reason to fail."""
    runs = {row.id: {"epoch": row.epoch, "status": str(row.status), "attempt": _attempt(row), "best": row.best}
            for row in rows[:REMEMBERED]}  # fmt: skip
    try:
        write_json(paths.home() / FILE, {"v": 1, "time": now or time.time(), "runs": runs}, durable=False)
    except OSError:
        return


def recall() -> dict[str, Any] | None:
    """What the last screen wrote down."""
    record = read_json(paths.home() / FILE)
    if record is None or not isinstance(record.get("runs"), dict):
        return None
    return record if isinstance(record.get("time"), int | float) else None


def sum_up(before: dict[str, Any] | None, rows: Sequence[RunSummary], now: float) -> str:
    """`away 6h: +9 epochs, 1 resume, lr1 failed`; empty where there is nothing to tell."""
    if before is None or now - before["time"] < SHORTEST:
        return ""
    known, away = before["runs"], text.duration(now - before["time"])
    told = _progress(known, rows) + _endings(known, rows) + _best(known, rows)
    return f"away {away}: {', '.join(told)}" if told else f"away {away}: nothing new"


def _progress(known: dict[str, Any], rows: Sequence[RunSummary]) -> list[str]:
    epochs = sum(max(0, row.epoch - _epoch(known.get(row.id))) for row in rows)
    resumes = sum(_resumes(known[row.id], row) for row in rows if row.id in known)
    told = [f"+{epochs} epoch{'s' if epochs > 1 else ''}"] if epochs else []
    return told + ([f"{resumes} resume{'s' if resumes > 1 else ''}"] if resumes else [])


def _best(known: dict[str, Any], rows: Sequence[RunSummary]) -> list[str]:
    """The best of the figures that were reached meanwhile."""
    moved = [row for row in rows if row.best is not None and row.best != _figure(known.get(row.id))]
    shares = [row for row in moved if row.monitor not in LOWER]
    chosen = (
        max(shares, key=lambda row: row.best or 0.0)
        if shares
        else min(moved, key=lambda row: row.best or 0.0, default=None)
    )
    return [f"best {text.fraction(chosen.best)} of {chosen.name}"] if chosen is not None else []


def _figure(record: Any) -> float | None:
    return number(record.get("best")) if isinstance(record, dict) else None


def _endings(known: dict[str, Any], rows: Sequence[RunSummary]) -> list[str]:
    """Who ended, the failures first."""
    ended = [row for row in rows if not row.status.live and _status(known.get(row.id)) != row.status]
    order = [Status.FAILED, Status.LOST, Status.UNKNOWN, Status.STOPPED, Status.FINISHED]
    ended.sort(key=lambda row: order.index(row.status))
    told = [f"{row.name} {row.status}" for row in ended[:NAMED]]
    return told + ([f"{len(ended) - NAMED} more ended"] if len(ended) > NAMED else [])


def _epoch(record: Any) -> int:
    return int(record.get("epoch") or 0) if isinstance(record, dict) else 0


def _status(record: Any) -> str:
    return str(record.get("status")) if isinstance(record, dict) else ""


def _resumes(record: Any, row: RunSummary) -> int:
    moved = row.status.live or _status(record) != row.status or _epoch(record) != row.epoch
    if not moved or not isinstance(record, dict):
        return 0
    return max(0, _attempt(row) - int(record.get("attempt") or 0))


def _attempt(row: RunSummary) -> int:
    """The newest attempt of a run that was just looked at."""
    beat = read_json(RunFolder(Store.default().root / row.id).heartbeat) or {}
    return int(beat.get("attempt") or 0)
