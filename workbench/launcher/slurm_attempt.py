"""What a supervisor does inside its Slurm job: it takes the job's order to start, and lets Slurm start the run again.

Slurm sends SIGUSR1 to the supervisor before the time limit (`--signal` in the batch script), and SIGTERM to all
processes of the job when it ends that: because it was cancelled, another job needs its nodes, or the time has passed.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from workbench.io.record_codec import read_record, write_record
from workbench.runs.attempts import last_attempt_number, repeated_start
from workbench.runs.enums import Cause, Ending, RequestKind
from workbench.runs.records import Exit, Heartbeat, RequestValues
from workbench.runs.requests import REQUEUED, StopReason, send_request
from workbench.runs.run_folder import RunFolder, write_exit
from workbench.runs.slurm_job import SlurmJob, read_job
from workbench.runs.tickets import ResumeOptions
from workbench.system import slurm
from workbench.system.slurm import SlurmError

NOT_SET = {"", "None", "N/A", "Unknown"}
TIME_LIMIT = "TimeLimit"
REQUEUE_WITHOUT_PROGRESS = 3
"""So many starts at the same step, none of which makes another: the time limit is too short for the run."""


class NothingToStart(Exception):
    """The run of this job has ended for good, or was taken out of Slurm's queue."""


def take_job(folder: RunFolder) -> tuple[SlurmJob, ResumeOptions]:
    """The job of this process, and how the attempt starts. Raises `NothingToStart` and `OSError`."""
    job = read_job(folder) or SlurmJob(attempt=last_attempt_number(folder))
    if job.withdrawn or _has_ended(folder, job):
        raise NothingToStart
    if (own := slurm.own_job()) and (job.job != own or job.end):
        job = replace(job, job=own, end="")
        write_record(folder.slurm, job)
    has_started = last_attempt_number(folder) > job.attempt  # settings that it changed are in the journal
    return job, job.resume.continued if has_started else job.resume


def _has_ended(folder: RunFolder, job: SlurmJob) -> bool:
    """Whether this job has finished the run, or was asked to stop it: an administrator may requeue any job."""
    ended = read_record(folder.exit, Exit)
    if ended is None or ended.attempt <= job.attempt or ended.attempt < last_attempt_number(folder):
        return False
    return ended.status is Ending.FINISHED or ended.cause in {Cause.REQUESTED, Cause.TIME_LIMIT, Cause.PRUNED}


def ask_to_requeue(folder: RunFolder, otherwise: Callable[[], None]) -> None:
    """Ask the run to write a checkpoint and stop, to go on once Slurm starts its job again.

    Calls `otherwise` where that is of no use, or the request can't be written (a full disk). This is done in a thread:
    a signal may come while something is written.
    """

    def ask() -> None:
        if not (_makes_progress(folder) and _request_stop(folder)):
            otherwise()

    threading.Thread(target=ask, daemon=True).start()


def _request_stop(folder: RunFolder) -> bool:
    with contextlib.suppress(OSError):
        values = RequestValues(requeue=True)
        send_request(folder, RequestKind.STOP, last_attempt_number(folder), values)
        return True
    return False


def _makes_progress(folder: RunFolder) -> bool:
    """Whether another start is of use."""
    beat = read_record(folder.heartbeat, Heartbeat) or Heartbeat()
    return repeated_start(folder, REQUEUE_WITHOUT_PROGRESS) != beat.step


def requeue_own_job(
    folders: Sequence[RunFolder], attempt: int | None = None, *, others_wait: bool = False
) -> None:
    """Put this job back into Slurm's queue if its runs have stopped for that, and not because somebody cancelled it.

    `attempt`: the one that this job has worked on; by default the newest of each run. `others_wait`: whether runs are
    left that it has not started.
    """
    stopped = [
        (folder, ended) for folder in folders if (ended := _stop_for_slurm(folder, attempt)) is not None
    ]
    if not stopped and not others_wait:
        return
    reason = REQUEUED
    was_announced = others_wait or any(ended.cause is Cause.REQUEUED for _, ended in stopped)
    try:
        if not put_job_back(was_announced=was_announced):
            return
    except SlurmError as error:
        text = f"stopped for Slurm, which does not start it again: {error}; workbench resume submits it"
        reason = StopReason(Cause.SIGNAL, text)
    for folder, ended in stopped:
        if reason.cause is not ended.cause:
            with contextlib.suppress(OSError):
                write_exit(folder, replace(ended, cause=reason.cause, reason=reason.text, time=time.time()))


def _stop_for_slurm(folder: RunFolder, attempt: int | None) -> Exit | None:
    """How an attempt ended that may have stopped because Slurm ends its job; `None` for any other end."""
    ended = read_record(folder.exit, Exit)
    number = last_attempt_number(folder) if attempt is None else attempt
    may_be = ended is not None and ended.attempt == number and ended.cause in {Cause.REQUEUED, Cause.SIGNAL}
    return ended if may_be else None


def put_job_back(*, was_announced: bool) -> bool:
    """Put the job of this process back into Slurm's queue; false where it has ended because somebody cancelled it.

    `was_announced`: Slurm has told before that it would end the job. Raises `SlurmError`.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm ends this job now
    job = slurm.own_job()
    fields = slurm.job_fields(job)
    if not was_announced and not _is_for_slurm(fields):
        return False
    if not slurm.is_requeued(fields):  # as Slurm does itself with a preempted job
        slurm.requeue(job)
    return True


def _is_for_slurm(fields: Mapping[str, str]) -> bool:
    """Whether Slurm ends this job for its time limit, or for another job."""
    is_preempted = fields.get("PreemptTime", "") not in NOT_SET
    return is_preempted or fields.get("Reason") == TIME_LIMIT or slurm.is_requeued(fields)
