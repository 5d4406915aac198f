"""Commands inside a batch script of the user that Slurm starts once more: they continue the run that they started."""

from __future__ import annotations

import argparse

import msgspec

from workbench.cli import console
from workbench.config.experiment import Experiment
from workbench.io.record_codec import read_record, to_json
from workbench.launcher import launch
from workbench.launcher.queue import QueueOptions, hold
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.nodes import Placement
from workbench.runs.records import Launch
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import Script, read_description
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store
from workbench.system.slurm import own_job, restart_count


def earlier_run(described: Experiment | Script) -> RunFolder | None:
    """The newest run of the same description that this batch job worked on last, before it was started once more.

    Or one that it has queued, and that has not started.
    """
    job = own_job()
    if not job or not restart_count():
        return None
    store, wanted = Store.default(), _as_written(described)
    for row in store.list_runs():
        folder = store.folder(row.id)
        if _job_of(folder) != job:
            continue
        known = read_description(folder.experiment)
        if isinstance(known, type(described)) and _as_written(known) == wanted:
            return folder
    return None


def _job_of(folder: RunFolder) -> str | None:
    """The Slurm job of the newest attempt, or of the command that has made the run if there was none."""
    attempts = attempts_of(read_journal(folder.journal))
    return attempts[-1].job if attempts else (read_record(folder.launch, Launch) or Launch()).job


def _as_written(described: Experiment | Script) -> bytes:
    """A description as JSON: in one that was read, lists stand for tuples."""
    content = described.to_dict() if isinstance(described, Experiment) else to_json(described)
    return msgspec.json.encode(content, order="sorted")


def continue_run(
    folder: RunFolder,
    launcher: str,
    options: argparse.Namespace,
    *,
    placement: Placement | None = None,
    queue: QueueOptions | None = None,
) -> None:
    """Resume a run of this batch job, or queue that; a finished one is left as it is. Raises `UserError`."""
    status = status_of(folder)
    if status is Status.FINISHED:
        console.print_status(f"Slurm has started job {own_job()} again: {folder.id} is finished already.")
        return
    console.print_status(f"Slurm has started job {own_job()} again: {folder.id} continues.")
    if status is Status.QUEUED:
        hold(folder, held=False)
        return
    # Slurm starts a job again once no process of it is left, on whichever host.
    launch.resume_run(
        folder, {}, launcher, take_over=True, without_slurm=True, max_hours=options.max_hours, queue=queue,
        placement=placement,
        announce=console.print_status,
    )  # fmt: skip
