"""What people ask of a run: a file each in `control/`, moved to `control/done/` with its answer.

Files and renames work across hosts that share a disk, and before the worker reads for the first time.
"""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from workbench.io.record_codec import read_record, write_record
from workbench.runs.enums import Cause, Outcome, RequestKind
from workbench.runs.records import RequestFile, RequestValues
from workbench.runs.run_folder import RunFolder

TOO_LATE = "it came too late, the attempt it was meant for has ended"
"""The answer to what was asked of an attempt before."""
RELEASED = 75
"""The exit code of a worker that ended because its run is paused."""
POLL_SECONDS = 0.1
NO_VALUES = RequestValues()


@dataclass(frozen=True)
class Request:
    """One thing asked for, as its file has it."""

    id: str
    kind: RequestKind
    values: RequestValues = NO_VALUES
    attempt: int = 0
    """The attempt it was meant for: a later one does not carry it out."""
    time: float = 0.0


class Reply(NamedTuple):
    """What became of a request, and what people are told of it."""

    outcome: Outcome
    text: str


class StopReason(NamedTuple):
    """Why a run is to stop here."""

    cause: Cause
    text: str
    """One line for people."""


ON_REQUEST = StopReason(Cause.REQUESTED, "stopped on request")


def stopped_by(number: int) -> StopReason:
    """The reason of a run that a signal stopped."""
    return StopReason(Cause.SIGNAL, f"stopped by {signal.Signals(number).name}")


def ask(folder: RunFolder, kind: RequestKind, attempt: int, values: RequestValues = NO_VALUES) -> str:
    """Leave a request for the worker of `attempt`; returns its id."""
    request_id = uuid.uuid4().hex
    folder.control.mkdir(mode=0o700, exist_ok=True)
    record = RequestFile(request=kind, attempt=attempt, time=time.time(), values=values)
    write_record(folder.control / f"{request_id}.json", record)
    return request_id


def pending(folder: RunFolder) -> list[Request]:
    """Requests without an answer, oldest first."""
    found = []
    for path in folder.control.glob("*.json"):
        record = read_record(path, RequestFile)
        if record is not None:
            found.append(Request(path.stem, record.request, record.values, record.attempt, record.time))
    return sorted(found, key=lambda request: (request.time, request.id))


def answer(folder: RunFolder, request: Request, reply: Reply) -> None:
    """Record the answer to a request and take it off the list."""
    folder.answered.mkdir(mode=0o700, exist_ok=True)
    record = RequestFile(
        request=request.kind, attempt=request.attempt, time=time.time(), values=request.values,
        answer=reply.text, outcome=reply.outcome,
    )  # fmt: skip
    write_record(folder.answered / f"{request.id}.json", record)
    (folder.control / f"{request.id}.json").unlink(missing_ok=True)


def answer_to(folder: RunFolder, request_id: str) -> Reply | None:
    """The answer to a request, or `None` while there is none."""
    record = read_record(folder.answered / f"{request_id}.json", RequestFile)
    if record is None or record.answer is None:
        return None
    return Reply(record.outcome or Outcome.DONE, record.answer)


def wait_for_answer(
    folder: RunFolder, request_id: str, seconds: float, live: Callable[[], bool]
) -> Reply | None:
    """The answer to a request; `None` where the run ends without one, or none comes within `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and live():
        if (reply := answer_to(folder, request_id)) is not None:
            return reply
        time.sleep(POLL_SECONDS)
    return answer_to(folder, request_id)
