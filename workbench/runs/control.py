"""What people ask of a run: a file each in `control/`, moved to `control/done/` with its answer.

Files and renames work across hosts that share a disk, and before the worker reads for the first time.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.io.atomic import read_json, write_json
from workbench.runs.layout import RunFolder

REQUESTS = ("stop", "checkpoint", "pause", "continue", "lr", "epochs")
NOT_DONE, ENDED = "not done: ", "the run has "
"""How answers begin that turn a request down, and those of a run that ended instead."""
ON_REQUEST = "stopped on request"
"""The reason of a run that a person stopped."""
TOO_LATE = f"{NOT_DONE}it came too late, the attempt it was meant for has ended"
"""The answer to what was asked of an attempt before."""
PAUSED, WAITING, STOPPING = "paused", "waiting for space", "stopping"
"""Phases of a run in which nothing has to get on: it waits for a person, for room on the disk, or ends."""
RELEASED = 75
"""The exit code of a worker that ended because its run is paused."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Request:
    """One thing asked for: `what` is one of `REQUESTS`, `values` its arguments."""

    id: str
    what: str
    values: dict[str, Any] = field(default_factory=dict)
    attempt: int = 0
    """The attempt it was meant for: a later one doesn't answer it."""
    time: float = 0.0


def ask(folder: RunFolder, what: str, attempt: int, **values: Any) -> str:
    """Leave a request for the worker of `attempt`; returns its id."""
    request_id = uuid.uuid4().hex
    folder.control.mkdir(mode=0o700, exist_ok=True)
    record = {"v": 1, "request": what, "attempt": attempt, "time": time.time(), "values": values}
    write_json(folder.control / f"{request_id}.json", record)
    return request_id


def pending(folder: RunFolder) -> list[Request]:
    """Requests without an answer, oldest first."""
    found = []
    for path in folder.control.glob("*.json"):
        record = read_json(path)
        if record is None or record.get("request") not in REQUESTS:
            continue
        values, attempt, when = record.get("values"), record.get("attempt"), record.get("time")
        if isinstance(values, dict) and isinstance(attempt, int) and isinstance(when, int | float):
            found.append(Request(path.stem, record["request"], values, attempt, float(when)))
    return sorted(found, key=lambda request: (request.time, request.id))


def answer(folder: RunFolder, request: Request, text: str) -> None:
    """Record the answer to a request and take it off the list."""
    folder.answered.mkdir(mode=0o700, exist_ok=True)
    record = {"v": 1, "request": request.what, "values": request.values, "answer": text, "time": time.time()}
    write_json(folder.answered / f"{request.id}.json", record)
    (folder.control / f"{request.id}.json").unlink(missing_ok=True)


def answer_to(folder: RunFolder, request_id: str) -> str | None:
    """The answer to a request, or `None` while there is none."""
    record = read_json(folder.answered / f"{request_id}.json")
    return None if record is None else str(record.get("answer", ""))


def wait_for_answer(
    folder: RunFolder, request_id: str, seconds: float, live: Callable[[], bool]
) -> str | None:
    """The answer to a request; `None` where the run ends without one, or none comes within `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and live():
        if (text := answer_to(folder, request_id)) is not None:
            return text
        time.sleep(POLL_SECONDS)
    return answer_to(folder, request_id)
