"""How an attempt ended, and its record: for workers of trainings and of scripts."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass

from workbench.runs.enums import Cause, Ending, Outcome, Phase
from workbench.runs.journal import PhaseChange
from workbench.runs.records import Exit
from workbench.runs.requests import Answer
from workbench.runs.run_folder import write_exit
from workbench.worker.context import Context


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt ended."""

    status: Ending
    cause: Cause
    reason: str | None = None
    """One line of text."""
    exit_code: int | None = None
    """Of a script."""


def log(text: str) -> None:
    """Write a line to the worker's log; a full disk is ignored."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def close_attempt(context: Context, phase: Phase) -> None:
    """Write the last heartbeat and the seconds by activity; a full disk must not prevent the record of the end."""
    context.heartbeat.update(phase=phase)
    context.heartbeat.stop()
    seconds = context.stopwatch.seconds()
    with contextlib.suppress(OSError):
        context.journal.append(
            PhaseChange(phase=Phase.ENDED, attempt=context.attempt, status=phase, seconds=seconds)
        )


def record_end(context: Context, end: AttemptEnd) -> None:
    """Answer the pending requests, then write `exit.json`."""
    with contextlib.suppress(OSError):
        for request in context.requests.pending():
            context.requests.answer(request, Answer(Outcome.ENDED, f"the run has {end.status}"))
    if end.reason:
        log(f"{end.status}: {end.reason}")
    record = Exit(
        status=end.status, attempt=context.attempt, cause=end.cause, reason=end.reason, time=time.time(),
        exit_code=end.exit_code,
    )  # fmt: skip
    write_exit(context.folder, record)
