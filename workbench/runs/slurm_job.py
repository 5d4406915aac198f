"""The Slurm job of a run: `slurm.json`, and what Slurm says of the job.

A run that was submitted has this file from then on. Whether it waits, and what for, is asked of Slurm by whoever wants
to know: one question for all jobs of a user, and one every few seconds.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from workbench.core.errors import UserError
from workbench.io.record_codec import Record, read_record, write_record
from workbench.runs.attempts import last_attempt_number
from workbench.runs.enums import Cause, Ending
from workbench.runs.records import Exit
from workbench.runs.run_folder import RunFolder, write_exit
from workbench.runs.tickets import ResumeOptions, withdraw
from workbench.system import slurm
from workbench.system.slurm import EndWord, Job, JobState, SlurmError

REFRESH_SECONDS, REST_FACTOR = 2.0, 20
"""How long an answer of Slurm is used: at least so long, and so many times as long as it took."""
MIN_SECONDS = 0.5
"""An answer that is older than a job is used for so long, if a clock is wrong."""

CANCELLED = "cancelled before it started"
CANCELLED_LATER = "cancelled while it waited to go on"

_WAITS_FOR = {
    "Priority": "jobs of higher priority",
    "Resources": "free resources",
    "Dependency": "another job",
    "BeginTime": "the time at which it may start",
    "JobHeldUser": "its release (scontrol release)",
    "JobHeldAdmin": "its release by an administrator",
    "JobArrayTaskLimit": "other tasks of its array",
    "Licenses": "a license",
    "PartitionDown": "its partition, which is down",
    "PartitionInactive": "its partition, which is inactive",
    "PartitionNodeLimit": "a partition that allows so many nodes",
    "PartitionTimeLimit": "a partition that allows so much time",
    "Reservation": "its reservation",
    "ReqNodeNotAvail": "the nodes that it asks for",
    "Cleaning": "the end of its last start",
    "None": "Slurm to look at it",
    "": "Slurm to look at it",
}
_WAITS_FOR_LIMIT = {"QOS": "a limit of its QOS", "Assoc": "a limit of its account"}
"""What reasons mean that begin so: `QOSMaxJobsPerUserLimit`, `AssocGrpGRES`, …"""

_ENDS = {
    EndWord.BOOT_FAIL: "its node did not boot",
    EndWord.CANCELLED: "it was cancelled",
    EndWord.COMPLETED: "its script ended and the run did not",
    EndWord.DEADLINE: "its deadline passed",
    EndWord.FAILED: "its script failed",
    EndWord.NODE_FAIL: "its node failed",
    EndWord.OUT_OF_MEMORY: "it used more memory than it had asked for",
    EndWord.PREEMPTED: "it had to make room for another job",
    EndWord.REVOKED: "it was revoked",
    EndWord.TIMEOUT: "its time limit passed",
}


class SlurmJob(Record, frozen=True, kw_only=True):
    """`slurm.json`: the job that a run was last submitted as."""

    job: str = ""
    """`12`, or `12_3` for a task of an array; empty while it is submitted."""
    time: float = 0.0
    """When it was submitted, Unix seconds."""
    attempt: Annotated[int, Meta(ge=0)] = 0
    """The number of attempts before it."""
    options: dict[str, str] = {}
    """The options of `sbatch` that the user gave, and the defaults at that time."""
    script_sha256: str = ""
    """Of the script that was written for it: another one in its place is the user's."""
    resume: ResumeOptions = ResumeOptions()
    launcher: str = ""
    withdrawn: bool = False
    """Whether the run was taken out of Slurm's queue; the job does nothing if it starts nevertheless."""
    end: str = ""
    """How the job ended, as Slurm called it, if it did so without a record of the run; Slurm forgets it."""


class SlurmReport(msgspec.Struct, frozen=True):
    """The Slurm job of a run."""

    job: str
    """`12`, or `12_3` for a task of an array."""
    options: dict[str, str]
    """The options of `sbatch` with which it was submitted."""
    script: str
    """The path of the batch script."""
    log: str
    """The path of the script's output."""


def slurm_report(folder: RunFolder, job: SlurmJob | None) -> SlurmReport | None:
    """The job of a run for its report; `None` without one."""
    if job is None:
        return None
    return SlurmReport(job.job, job.options, str(folder.slurm_script), str(folder.slurm_log))


@dataclass(frozen=True)
class _Look:
    """What Slurm said."""

    time: float
    """When it was asked, Unix seconds."""
    jobs: dict[str, Job]
    problem: str
    """Why it did not answer."""


class _Jobs:
    """The newest answers of Slurm, by user. The first question is waited for, later ones are asked meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: dict[int, _Look] = {}
        self._due: dict[int, float] = {}
        """When to ask again, monotonic seconds; infinite while that is going on."""
        self._unlisted: dict[str, tuple[_Look, Job]] = {}
        """Jobs that `squeue` does not list, with the answer in which they were missing."""

    def find(self, uid: int, job: str, submitted: float) -> Job:
        with self._lock:
            look = self._look(uid)
            age = time.time() - look.time
            if job not in look.jobs and look.time < submitted and age > MIN_SECONDS:
                look = self._ask(uid)
        if (found := look.jobs.get(job)) is not None:
            return found
        if look.problem:
            return Job(job, JobState.SILENT, reason=look.problem)
        if look.time < submitted:
            return Job(job, JobState.WAITING)
        return self._find_unlisted(look, job)

    def forget(self) -> None:
        """Ask again at the next question, and wait for the answer."""
        with self._lock:
            self._looks.clear()
            self._unlisted.clear()

    def _look(self, uid: int) -> _Look:
        if uid not in self._looks:
            return self._ask(uid)
        if time.monotonic() >= self._due[uid]:
            self._due[uid] = math.inf
            threading.Thread(target=self._ask_in_background, args=(uid,), daemon=True).start()
        return self._looks[uid]

    def _ask_in_background(self, uid: int) -> None:
        look, due = _ask(uid)
        with self._lock:
            self._looks[uid], self._due[uid] = look, due

    def _ask(self, uid: int) -> _Look:
        self._looks[uid], self._due[uid] = _ask(uid)
        return self._looks[uid]

    def _find_unlisted(self, look: _Look, job: str) -> Job:
        known, found = self._unlisted.get(job, (None, None))
        if found is None or (found.state is JobState.GONE and known is not look):
            found = slurm.ended_job(job) or Job(job, JobState.GONE)
            self._unlisted[job] = look, found
        return found


def _ask(uid: int) -> tuple[_Look, float]:
    """What Slurm says of a user's jobs, and when to ask again, monotonic seconds."""
    began, problem, jobs = time.time(), "", dict[str, Job]()
    started = time.monotonic()
    try:
        jobs = slurm.user_jobs(uid)
    except SlurmError as error:
        problem = str(error)
    now = time.monotonic()
    return _Look(began, jobs, problem), now + max(REFRESH_SECONDS, REST_FACTOR * (now - started))


_jobs = _Jobs()


def read_job(folder: RunFolder) -> SlurmJob | None:
    """The job that a run was last submitted as; `None` for one that was started otherwise."""
    return read_record(folder.slurm, SlurmJob)


def ask_slurm(uid: int, job: str, submitted: float) -> Job:
    """What Slurm says of a job of a user, known for some seconds; `submitted`: when it was, Unix seconds."""
    return _jobs.find(uid, job, submitted)


def find_job(folder: RunFolder, job: SlurmJob) -> Job:
    """What Slurm says of a run's job, known for some seconds."""
    if job.end:
        return Job(job.job, JobState.ENDED, word=job.end)
    try:
        uid = folder.path.stat().st_uid
    except OSError:  # it was removed a moment ago
        return Job(job.job, JobState.GONE)
    found = ask_slurm(uid, job.job, job.time)
    if found.state is JobState.ENDED and uid == os.geteuid():
        _record_end(folder, job, found.word)
    return found


def _record_end(folder: RunFolder, job: SlurmJob, word: str) -> None:
    """Keep how a job ended that left no record of the run: Slurm forgets it after some minutes."""
    with contextlib.suppress(OSError):
        if read_job(folder) == job:
            write_record(folder.slurm, replace(job, end=word))


def waits_for(job: Job) -> str:
    """What a job waits for, for people, with Slurm's word for it."""
    match job.state:
        case JobState.SILENT:
            return f"Slurm, which does not answer ({job.reason})"
        case JobState.STARTED:
            return f"its start on {job.nodes or 'its node'}"
    word = job.reason.partition(",")[0]  # a long list of nodes follows in some
    known = _WAITS_FOR.get(word) or next(
        (text for start, text in _WAITS_FOR_LIMIT.items() if word.startswith(start)), ""
    )
    return f"{known} ({word})" if known and word not in {"", "None"} else known or job.reason


def end_text(job: Job) -> str:
    """How a job ended, for people."""
    if job.state is JobState.GONE:
        return f"Slurm no longer knows its job {job.id}"
    known = _ENDS.get(EndWord(job.word)) if job.word in set(EndWord) else ""
    return f"Slurm ended its job {job.id}: {known or job.word} ({job.word})"


def unrecorded_end(folder: RunFolder, ended: Exit | None) -> str:
    """How the job of a run ended that has not recorded it itself, for people; empty for any other run."""
    job = read_job(folder)
    waited_again = ended is not None and ended.cause is Cause.REQUEUED
    has_record = ended is not None and not waited_again and ended.attempt > (job.attempt if job else 0)
    if job is None or job.withdrawn or not job.job or has_record:
        return ""
    found = find_job(folder, job)
    return end_text(found) if found.state in {JobState.ENDED, JobState.GONE} else ""


def leave_queue(folder: RunFolder) -> bool:
    """Take a run that waits out of the queue, or out of Slurm's. `False` where it does not wait (any more).

    One that has never run has ended with that; a resume that waited leaves the run as it was. Raises `UserError` where
    Slurm does not cancel its job, and `OSError`.
    """
    return withdraw(folder) or _cancel_waiting_job(folder)


def _cancel_waiting_job(folder: RunFolder) -> bool:
    job = read_job(folder)
    if job is None or job.withdrawn:
        return False
    write_record(folder.slurm, replace(job, withdrawn=True))  # if it starts at this moment, it ends at once
    try:
        slurm.cancel(job.job)
    except SlurmError as error:
        write_record(folder.slurm, job)
        raise UserError(f"Slurm does not cancel job {job.job} of {folder.id}: {error}") from None
    finally:
        _jobs.forget()
    newest, ended = last_attempt_number(folder), read_record(folder.exit, Exit)
    has_waited_again = ended is not None and ended.attempt == newest and ended.cause is Cause.REQUEUED
    if newest == 0 or has_waited_again:
        reason = CANCELLED_LATER if newest else CANCELLED
        record = Exit(
            status=Ending.STOPPED,
            attempt=newest,
            cause=Cause.REQUESTED,
            reason=reason,
            time=round(time.time(), 3),
        )
        write_exit(folder, record)
    return True


def cancel_job(folder: RunFolder) -> str:
    """Cancel the Slurm job of a run, which then has some seconds to write a checkpoint; returns its id.

    Raises `UserError`.
    """
    job = read_job(folder)
    if job is None:
        raise UserError(f"{folder.id} is no Slurm job: workbench stop {folder.id}")
    try:
        slurm.cancel(job.job)
    except SlurmError as error:
        raise UserError(f"Slurm does not cancel job {job.job} of {folder.id}: {error}") from None
    _jobs.forget()
    return job.job


def forget_answers() -> None:
    """Ask Slurm again at the next question: a job was submitted."""
    _jobs.forget()
