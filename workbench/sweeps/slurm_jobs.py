"""The workers of a sweep that were submitted to Slurm: an array for each submission, recorded in the sweep's folder.

Each task of an array is a worker, like those on this host: who works, and on which trial, is in the sweep's lock file.
Slurm is only asked which tasks are still to come.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from workbench.io.record_codec import Record, read_record, write_record
from workbench.runs.slurm_job import ask_slurm, forget_answers
from workbench.system import slurm
from workbench.system.slurm import Job, JobState, SlurmError

NAME = "slurm-{job}.json"


class SlurmWorkers(Record, frozen=True, kw_only=True):
    """`slurm-JOB.json`: workers that were submitted together."""

    job: str = ""
    """The id of the array; its tasks are `JOB_0`, `JOB_1`, …"""
    count: Annotated[int, Meta(ge=1)] = 1
    time: float = 0.0
    """When it was submitted, Unix seconds."""
    options: dict[str, str] = {}
    """The options of `sbatch`, with the defaults at that time."""
    script_sha256: str = ""
    """Of the script that was written for it: another one in its place is the user's."""
    is_over: bool = False
    """Whether all tasks have ended: Slurm forgets them, and need not be asked."""


def record_workers(sweep: Path, workers: SlurmWorkers) -> None:
    """Record that workers of the sweep in this folder were submitted."""
    write_record(sweep / NAME.format(job=workers.job), workers)
    forget_answers()


def list_workers(sweep: Path) -> list[SlurmWorkers]:
    """All submissions for the sweep in this folder, oldest first."""
    read = (read_record(path, SlurmWorkers) for path in sweep.glob(NAME.format(job="*")))
    return sorted((workers for workers in read if workers is not None), key=lambda workers: workers.time)


def open_tasks(sweep: Path) -> list[Job]:
    """The tasks that wait or have started; of which of them a worker has the lock already is not known to Slurm."""
    found: list[Job] = []
    for workers in list_workers(sweep):
        if not workers.is_over:
            found += _open_tasks(sweep, workers)
    return found


def _open_tasks(sweep: Path, workers: SlurmWorkers) -> list[Job]:
    try:
        uid = sweep.stat().st_uid
    except OSError:  # it was removed a moment ago
        return []
    names = [f"{workers.job}_{task}" for task in range(workers.count)]
    tasks = [ask_slurm(uid, name, workers.time) for name in names]
    if all(task.state in {JobState.ENDED, JobState.GONE} for task in tasks) and uid == os.geteuid():
        with contextlib.suppress(OSError):
            write_record(sweep / NAME.format(job=workers.job), replace(workers, is_over=True))
    return [task for task in tasks if task.state not in {JobState.ENDED, JobState.GONE}]


def cancel_waiting(sweep: Path) -> None:
    """Cancel the tasks that wait. Where Slurm does not do that, they end as soon as they start."""
    for workers in list_workers(sweep):
        if not workers.is_over:
            with contextlib.suppress(SlurmError):
                slurm.cancel(workers.job, only_waiting=True)
    forget_answers()
