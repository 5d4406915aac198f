"""Requests to a running worker: one file each in `control/`, moved to `control/done/` with its answer.

Files also work between hosts that share a disk, and before the worker is ready to read them.
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
from workbench.runs.journal import AnsweredRequest
from workbench.runs.records import RequestFile, RequestValues
from workbench.runs.run_folder import RunFolder

TOO_LATE = "the request came too late: its attempt has ended"
"""The answer to requests for an earlier attempt."""
WITHDRAWN = "withdrawn before it took effect"
"""The answer to requests that were taken back."""
SUSPENDED_EXIT_CODE = 75
"""The exit code of a worker that ended because its run is suspended: paused, with its memory freed."""
LOST_NODE_EXIT_CODE = 76
"""The exit code of a worker that ended because a node of its run is lost: another attempt waits for it."""
POLL_SECONDS = 0.1
ANSWER_TIMEOUT = 30.0
"""Seconds to wait for an answer: a training run reads requests twice a second, a loading one does not."""
NO_VALUES = RequestValues()


@dataclass(frozen=True)
class Request:
    """A request, as stored in its file."""

    id: str
    kind: RequestKind
    values: RequestValues = NO_VALUES
    attempt: int = 0
    """The attempt it is addressed to; later ones reject it."""
    time: float = 0.0
    """When it was sent, Unix seconds."""


class Answer(NamedTuple):
    """The outcome of a request, and a message for people."""

    outcome: Outcome
    text: str


class StopReason(NamedTuple):
    """Why a run has to stop."""

    cause: Cause
    text: str
    """One line for people."""


STOP_REQUESTED = StopReason(Cause.REQUESTED, "stopped on request")
REQUEUED = StopReason(Cause.REQUEUED, "stopped for Slurm, which has its job in the queue again")


def stop_reason(values: RequestValues) -> StopReason:
    """The reason of a stop by a request with these values."""
    if values.pruned:
        return StopReason(Cause.PRUNED, values.pruned)
    if values.requeue:
        return REQUEUED
    if not values.max_hours:
        return STOP_REQUESTED
    return StopReason(Cause.TIME_LIMIT, f"stopped after {values.max_hours:g} h, its time limit (--max-hours)")


def signal_stop_reason(number: int) -> StopReason:
    """The reason of a stop by the signal with this number."""
    return StopReason(Cause.SIGNAL, f"stopped by {signal.Signals(number).name}")


def send_request(
    folder: RunFolder, kind: RequestKind, attempt: int, values: RequestValues = NO_VALUES
) -> str:
    """Send a request to the worker of `attempt`; returns its id. Raises `OSError` on a full disk."""
    request_id = uuid.uuid4().hex
    folder.control.mkdir(mode=0o700, exist_ok=True)
    record = RequestFile(request=kind, attempt=attempt, time=time.time(), values=values)
    write_record(folder.control / f"{request_id}.json", record)
    return request_id


def pending_requests(folder: RunFolder) -> list[Request]:
    """Unanswered requests, oldest first."""
    pending = []
    for path in folder.control.glob("*.json"):
        record = read_record(path, RequestFile)
        if record is not None:
            pending.append(Request(path.stem, record.request, record.values, record.attempt, record.time))
    return sorted(pending, key=lambda request: (request.time, request.id))


def journal_line(request: Request, answer: Answer) -> AnsweredRequest:
    """The line of the journal about an answer."""
    return AnsweredRequest(request=request.kind, id=request.id, text=answer.text, outcome=answer.outcome)


def write_answer(folder: RunFolder, request: Request, answer: Answer) -> None:
    """Store the answer to a request and remove it from the pending ones. Raises `OSError`."""
    folder.answered_requests.mkdir(mode=0o700, exist_ok=True)
    record = RequestFile(
        request=request.kind, attempt=request.attempt, time=time.time(), values=request.values,
        answer=answer.text, outcome=answer.outcome,
    )  # fmt: skip
    write_record(folder.answered_requests / f"{request.id}.json", record)
    (folder.control / f"{request.id}.json").unlink(missing_ok=True)


def withdraw_requests(folder: RunFolder, kind: RequestKind) -> int:
    """Take back all requests of this kind that the run has not read yet; returns their number. Raises `OSError`."""
    pending = [request for request in pending_requests(folder) if request.kind is kind]
    for request in pending:
        write_answer(folder, request, Answer(Outcome.REJECTED, WITHDRAWN))
    return len(pending)


def withdraw_request(folder: RunFolder, request_id: str) -> bool:
    """Take back a request that the run has not read yet; whether it was one. Raises `OSError`."""
    pending = next((request for request in pending_requests(folder) if request.id == request_id), None)
    if pending is not None:
        write_answer(folder, pending, Answer(Outcome.REJECTED, WITHDRAWN))
    return pending is not None


def read_answer(folder: RunFolder, request_id: str) -> Answer | None:
    """The answer to a request; `None` until it is answered."""
    record = read_record(folder.answered_requests / f"{request_id}.json", RequestFile)
    if record is None or record.answer is None:
        return None
    return Answer(record.outcome or Outcome.DONE, record.answer)


def wait_for_answer(
    folder: RunFolder, request_id: str, seconds: float, live: Callable[[], bool]
) -> Answer | None:
    """The answer to a request; `None` if the run ends (`live`) or `seconds` pass without one."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and live():
        if (answer := read_answer(folder, request_id)) is not None:
            return answer
        time.sleep(POLL_SECONDS)
    return read_answer(folder, request_id)
