"""Restarting a run from step 0: when this happens automatically, and how the previous record is archived."""

from __future__ import annotations

import itertools
from pathlib import Path

from workbench.io.record_codec import read_record
from workbench.runs.attempts import start_steps
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.jsonl import read_lines
from workbench.runs.metrics import EpochRow, MetricLine
from workbench.runs.records import Heartbeat
from workbench.runs.run_folder import RunFolder

MAX_EPOCHS_WITHOUT_CHECKPOINT = 2
"""Epochs that can be recorded before the first checkpoint exists: it is written during the second epoch."""


def restart_hint(folder: RunFolder) -> str:
    """How to restart a run from step 0, for error messages."""
    return f"workbench resume {folder.id} --from-start restarts from step 0 and archives the current record"


def missing_checkpoints_error(folder: RunFolder) -> str | None:
    """The error for a run that had checkpoints and has none now, with the way to restart it; else `None`.

    A run that was killed before its first checkpoint restarts from step 0 without an error.
    """
    if any(folder.checkpoint_files()):
        return None
    journal, rows = read_journal(folder.journal), read_lines(folder.metrics, MetricLine)
    beat = read_record(folder.heartbeat, Heartbeat) or Heartbeat()
    restarted = max((record.attempt for record in attempts_of(journal) if record.from_start), default=0)
    steps = [step for attempt, step in start_steps(journal).items() if attempt > restarted]
    epochs = sum(isinstance(row, EpochRow) for row in rows)
    if not (beat.checkpoint_saved_at or epochs > MAX_EPOCHS_WITHOUT_CHECKPOINT or any(steps)):
        return None
    done = max(0, beat.step, *steps, *(row.step for row in rows[-1:]))
    return f"the checkpoints of {folder.id} ({done} steps) are missing: {restart_hint(folder)}"


def archive_record(folder: RunFolder) -> Path:
    """Move the record of a run to the subfolder `before-N`, with the first free N; returns that subfolder.

    Only for the process that holds the run's lock. Raises `OSError`.
    """
    archive = next(p for n in itertools.count(1) if not (p := folder.path / f"before-{n}").exists())
    archive.mkdir(mode=0o700)
    for path in (folder.checkpoints, folder.evaluations, folder.metrics, folder.heartbeat):
        if path.exists():
            path.rename(archive / path.name)
    folder.checkpoints.mkdir(mode=0o700)
    folder.evaluations.mkdir(mode=0o700)
    return archive
