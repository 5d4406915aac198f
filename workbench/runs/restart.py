"""A run that restarts at step 0: when it may do so unasked, and where its record goes when it is asked to."""

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

AHEAD = 2
"""Epochs that can be on record before the first checkpoint is: it is written while the second one goes on."""


def how_to(folder: RunFolder) -> str:
    """The command that restarts a run at step 0, as an error says it."""
    return f"workbench resume {folder.id} --from-start begins again at step 0 and keeps what is recorded"


def lost_checkpoints(folder: RunFolder) -> str | None:
    """What is gone where a run had checkpoints and has none any more, and how to restart it; else `None`.

    One that was killed before its first checkpoint has lost nothing but steps that it makes again.
    """
    if any(folder.checkpoint_files()):
        return None
    journal, rows = read_journal(folder.journal), read_lines(folder.metrics, MetricLine)
    beat = read_record(folder.heartbeat, Heartbeat) or Heartbeat()
    restarted = max((record.attempt for record in attempts_of(journal) if record.from_start), default=0)
    steps = [step for attempt, step in start_steps(journal).items() if attempt > restarted]
    epochs = sum(isinstance(row, EpochRow) for row in rows)
    if not (beat.saved or epochs > AHEAD or any(steps)):
        return None
    done = max(0, beat.step, *steps, *(row.step for row in rows[-1:]))
    return f"its checkpoints of {done} steps are gone: {how_to(folder)}"


def put_aside(folder: RunFolder) -> Path:
    """Move what a run has recorded into a folder of its own inside it, `before-1` the first time.

    For the process that holds the run. Raises `OSError`.
    """
    aside = next(p for n in itertools.count(1) if not (p := folder.path / f"before-{n}").exists())
    aside.mkdir(mode=0o700)
    for path in (folder.checkpoints, folder.evaluations, folder.metrics, folder.heartbeat):
        if path.exists():
            path.rename(aside / path.name)
    folder.checkpoints.mkdir(mode=0o700)
    folder.evaluations.mkdir(mode=0o700)
    return aside
