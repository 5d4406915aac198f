"""What happened to a run while it trained: changes of settings, resumes, rollbacks, pauses and notices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.runs.attempts import start_steps
from workbench.runs.journal import Attempt, JournalLine, Notice, refused_attempts
from workbench.runs.run_report import change_step, describe_change


@dataclass(frozen=True)
class RunEvent:
    """One event."""

    step: int
    """Where no step is recorded, the last one that was recorded before it."""
    time: float
    """Unix seconds; 0 where unknown."""
    text: str
    """For people, one line; not sanitized."""


def run_events(journal: Sequence[JournalLine]) -> list[RunEvent]:
    """The events of a run, oldest first."""
    starts, refused = start_steps(journal), refused_attempts(journal)
    events, last_step = [], 0
    for line in journal:
        last_step = max(last_step, getattr(line, "step", None) or 0)
        if isinstance(line, Attempt) and line.attempt in refused:
            continue
        text = describe_change(line) or (line.text if isinstance(line, Notice) else "")
        if text:
            known = None if isinstance(line, Notice) and line.from_step is None else change_step(line, starts)
            step = last_step if known is None else known
            events.append(RunEvent(step, line.time, " ".join(text.split())))
    return events
