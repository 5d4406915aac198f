"""What a supervisor does inside its Slurm job: it takes the job's order to start, and lets Slurm start the run again.

Slurm sends SIGUSR1 to the supervisor before the time limit (`--signal` in the batch script), and SIGTERM to all
processes of the job when it ends that: because it was cancelled, another job needs its nodes, or the time has passed.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from workbench.io.record_codec import read_record, write_record
from workbench.runs.attempts import last_attempt_number
from workbench.runs.enums import Cause, Ending, RequestKind
from workbench.runs.journal import attempts_of, read_journal
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
    """Whether another start is of use: several from the same step without another one are not."""
    attempts = attempts_of(read_journal(folder.journal))[-REQUEUE_WITHOUT_PROGRESS:]
    beat = read_record(folder.heartbeat, Heartbeat) or Heartbeat()
    starts = {attempt.from_step for attempt in attempts}
    return len(attempts) < REQUEUE_WITHOUT_PROGRESS or len(starts) > 1 or beat.step not in starts


def requeue_own_job(folder: RunFolder, attempt: int) -> None:
    """Put this job back into Slurm's queue if its run has stopped for that, and not because somebody cancelled it."""
    ended = read_record(folder.exit, Exit)
    if ended is None or ended.attempt != attempt or ended.cause not in {Cause.REQUEUED, Cause.SIGNAL}:
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm ends this job now
    job, reason = slurm.own_job(), REQUEUED
    try:
        fields = slurm.job_fields(job)
        if ended.cause is Cause.SIGNAL and not _is_for_slurm(fields):
            return
        if not slurm.is_requeued(fields):  # as Slurm does itself with a preempted job
            slurm.requeue(job)
    except SlurmError as error:
        text = f"stopped for Slurm, which does not start it again: {error}; workbench resume submits it"
        reason = StopReason(Cause.SIGNAL, text)
    if reason.cause is not ended.cause:
        with contextlib.suppress(OSError):
            write_exit(folder, replace(ended, cause=reason.cause, reason=reason.text, time=time.time()))


def _is_for_slurm(fields: Mapping[str, str]) -> bool:
    """Whether Slurm ends this job for its time limit, or for another job."""
    is_preempted = fields.get("PreemptTime", "") not in NOT_SET
    return is_preempted or fields.get("Reason") == TIME_LIMIT or slurm.is_requeued(fields)
