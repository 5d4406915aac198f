"""A run that begins again at step 0: when it may without being told to, and where its record goes when it is told."""

from __future__ import annotations

import itertools
from pathlib import Path

from workbench.io.atomic import read_json
from workbench.runs.attempts import began, number_of
from workbench.runs.layout import RunFolder
from workbench.runs.records import attempts_of, number, read_lines

AHEAD = 2
"""Epochs that can be on record before the first checkpoint is: it is written while the second one goes on."""


def how_to(folder: RunFolder) -> str:
    """The command that begins a run again, as an error says it."""
    return f"workbench resume {folder.id} --from-start begins again at step 0 and keeps what is recorded"


def lost_checkpoints(folder: RunFolder) -> str | None:
    """What is gone where a run had checkpoints and has none any more, and how to begin again; else `None`.

    One that was killed before its first checkpoint has lost nothing but steps that it makes again.
    """
    if any(folder.checkpoints.glob("step-*.pt")):
        return None
    journal, rows = read_lines(folder.journal), read_lines(folder.metrics)
    beat = read_json(folder.heartbeat) or {}
    anew = max((number_of(a) for a in attempts_of(journal) if a.get("from_start")), default=0)
    steps = [step for attempt, step in began(journal).items() if attempt > anew]
    epochs = sum(row.get("kind") == "epoch" for row in rows)
    if not (beat.get("saved") or epochs > AHEAD or any(steps)):
        return None
    done = max(0.0, *steps, *(number(record.get("step")) or 0.0 for record in (beat, *rows[-1:])))
    return f"its checkpoints of {done:.0f} steps are gone: {how_to(folder)}"


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
