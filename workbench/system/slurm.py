"""Slurm, the batch system of a cluster: its commands, and what they say of jobs and partitions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

TIMEOUT_SECONDS = 30.0
"""The longest wait for an answer: Slurm's own commands give up after 10 s for each controller."""
OVERRIDING_VARIABLES = ("SQUEUE_", "SCANCEL_", "SACCT_", "SINFO_", "SLURM_TIME_FORMAT")
"""The user's defaults for the commands, by the start of their names: they would change the answers."""

_LABEL = re.compile(r"^\w+: (error: )?")
_FIELD = re.compile(r"(?:^|\s)([A-Za-z]+)=(\S*)")


class SlurmError(Exception):
    """A command of Slurm failed; the message is what it said, in one line."""


class JobState(StrEnum):
    """Where a job is, in fewer words than Slurm has."""

    WAITING = "waiting"
    STARTED = "started"
    """It has nodes, and may be starting or ending."""
    ENDED = "ended"
    GONE = "gone"
    """Slurm does not know it (any more)."""
    SILENT = "silent"
    """Slurm does not answer, or is not installed here."""


class EndWord(StrEnum):
    """How a job ended, as Slurm calls it."""

    BOOT_FAIL = "BOOT_FAIL"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    DEADLINE = "DEADLINE"
    FAILED = "FAILED"
    NODE_FAIL = "NODE_FAIL"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    PREEMPTED = "PREEMPTED"
    REVOKED = "REVOKED"
    TIMEOUT = "TIMEOUT"


WAITING_WORDS = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
"""States of a job that waits for its start; those that are neither these nor an `EndWord` belong to a started one."""


class Job(msgspec.Struct, frozen=True):
    """A job, or a task of an array, at one moment."""

    id: str
    """`12`, or `12_3` for a task of an array."""
    state: JobState
    word: str = ""
    """The state as Slurm calls it: `PENDING`, `TIMEOUT`, …"""
    reason: str = ""
    """Why it waits, as Slurm calls it: `Priority`, `Resources`, …"""
    nodes: str = ""


class Partition(msgspec.Struct, frozen=True):
    """A partition, as `sinfo` lists it: one row for each kind of node."""

    name: str
    available: str
    """`up`, `down`, `drain` or `inact`."""
    time_limit: str
    nodes: str
    """How many nodes, and in which state: `4 idle`."""
    cpus: str
    """CPUs of each node."""
    gres: str
    """GPUs and other resources of each node; empty without any."""


class SlurmInfo(msgspec.Struct, frozen=True):
    """What this host knows of Slurm."""

    version: str
    answers: bool
    """Whether the controller does."""
    problem: str
    """Why not; empty if it does."""
    partitions: tuple[Partition, ...]
    job: str
    """The job that this process belongs to; empty outside of one."""


def is_available() -> bool:
    """Whether jobs can be submitted from this host, as far as its commands tell."""
    return shutil.which("sbatch") is not None


def own_job(environment: Mapping[str, str] = os.environ) -> str:
    """The job that this process belongs to; empty outside of one."""
    array, task = (environment.get(f"SLURM_ARRAY_{name}") for name in ("JOB_ID", "TASK_ID"))
    return f"{array}_{task}" if array and task else environment.get("SLURM_JOB_ID", "")


def submit(script: Path, options: Sequence[str] = ()) -> str:
    """Submit a batch script, with options that take precedence over its `#SBATCH` lines; returns the job's id.

    Raises `SlurmError`.
    """
    return _run("sbatch", "--parsable", *options, str(script)).strip().partition(";")[0]


def cancel(job: str, *, only_waiting: bool = False) -> None:
    """Cancel a job, or only those tasks of an array that wait; what has ended is left as it is. Raises `SlurmError`."""
    _run("scancel", "--quiet", *(["--state=PENDING"] if only_waiting else []), job)


def requeue(job: str) -> None:
    """Put a job that runs, or has ended, back into the queue; its processes are ended. Raises `SlurmError`."""
    _run("scontrol", "requeue", job)


def user_jobs(uid: int) -> dict[str, Job]:
    """The jobs of a user that Slurm still knows, by id; ended ones for some minutes. Raises `SlurmError`."""
    text = _run(
        "squeue", f"--user={uid}", "--array", "--all", "--states=all", "--noheader", "--format=%i|%T|%N|%r"
    )
    rows = [line.strip().split("|", 3) for line in text.splitlines()]
    return {
        row[0]: Job(row[0], job_state(row[1]), word=row[1], nodes=row[2], reason=row[3])
        for row in rows
        if len(row) == 4
    }


def ended_job(job: str) -> Job | None:
    """A job that `squeue` no longer lists, by the accounting; `None` where that does not know it, or there is none."""
    try:
        text = _run("sacct", "--noheader", "--parsable2", "--allocations", "--format=State", f"--jobs={job}")
    except SlurmError:
        return None
    words = text.split()  # the first one of `CANCELLED by 1000`
    return Job(job, job_state(words[0]), word=words[0]) if words else None


def job_state(word: str) -> JobState:
    """The state that Slurm calls `word`."""
    if word in WAITING_WORDS:
        return JobState.WAITING
    return JobState.ENDED if word in set(EndWord) else JobState.STARTED


def job_fields(job: str) -> dict[str, str]:
    """What `scontrol show job` says of a job, by its names. Raises `SlurmError`."""
    return dict(_FIELD.findall(_run("scontrol", "show", "job", job, "--oneliner")))


def restart_count(environment: Mapping[str, str] = os.environ) -> int:
    """How often the job that this process belongs to has been started before."""
    count = environment.get("SLURM_RESTART_COUNT", "")
    return int(count) if count.isdecimal() else 0


def is_requeued(fields: Mapping[str, str]) -> bool:
    """Whether the own job will be started once more, by what `job_fields` says of it: Slurm counts that at once."""
    restarts = fields.get("Restarts", "")
    return restarts.isdecimal() and int(restarts) > restart_count()


def restartable_job() -> str:
    """The batch job that this process belongs to, if Slurm may start it again; else empty."""
    job = own_job()
    try:
        fields = job_fields(job) if job else {}
    except SlurmError:
        return ""
    return job if fields.get("BatchFlag") == "1" and fields.get("Requeue") == "1" else ""


def describe_slurm() -> SlurmInfo | None:
    """The version, whether the controller answers, and the partitions; `None` where Slurm is not installed."""
    if not is_available():
        return None
    try:
        version = _run("sbatch", "--version").strip().removeprefix("slurm ").removeprefix("slurm-wlm ")
    except SlurmError:
        version = ""
    try:
        text = _run("sinfo", "--noheader", "--format=%R|%a|%l|%D %T|%c|%G")
    except SlurmError as error:
        return SlurmInfo(version, False, str(error), (), own_job())
    rows = [[part.strip() for part in line.split("|", 5)] for line in text.splitlines()]
    partitions = tuple(
        Partition(name, state, limit, nodes, cpus, "" if gres == "(null)" else gres)
        for name, state, limit, nodes, cpus, gres in (row for row in rows if len(row) == 6)
    )
    return SlurmInfo(version, True, "", partitions, own_job())


def _run(program: str, *arguments: str) -> str:
    """What a command prints. Raises `SlurmError`."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(OVERRIDING_VARIABLES)
    }
    try:
        done = subprocess.run(
            [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=TIMEOUT_SECONDS, check=False, env=environment,
        )  # fmt: skip
    except OSError as error:
        raise SlurmError(f"{program} can't be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{program} did not answer within {TIMEOUT_SECONDS:.0f} s") from None
    if done.returncode:
        lines = [_LABEL.sub("", line.strip()) for line in done.stderr.splitlines() if line.strip()]
        raise SlurmError("; ".join(lines) or f"{program} failed with exit code {done.returncode}")
    return done.stdout
