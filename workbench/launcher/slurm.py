"""Submitting runs to Slurm: one as a job of its own, several as the tasks of an array."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from workbench.core.errors import UserError
from workbench.io.atomic_files import write_bytes
from workbench.io.record_codec import write_record
from workbench.launcher.slurm_script import (
    SlurmOptions,
    array_script_text,
    check_options,
    read_defaults,
    script_text,
)
from workbench.runs.attempts import last_attempt_number
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import read_script
from workbench.runs.slurm_job import SlurmJob, forget_answers, read_job
from workbench.runs.tickets import ResumeOptions
from workbench.system import slurm
from workbench.system.slurm import SlurmError

ARRAY_SCRIPT = "slurm-array.sh"


def check_available() -> None:
    """Raise `UserError` on a host from which no job can be submitted."""
    if not slurm.is_available():
        raise UserError("--launcher slurm: sbatch is not in PATH; run this on a login node of the cluster")


def submit_run(folder: RunFolder, options: SlurmOptions, resume: ResumeOptions, launcher: str) -> None:
    """Submit a run as a job of its own, or only write its script (`in_array`). Raises `UserError`, `OSError`."""
    check_available()
    check_options(options.options, is_training=read_script(folder.experiment) is None)
    before = read_job(folder)
    digest = _write_script(folder, options, before)
    job = SlurmJob(
        time=round(time.time(), 3), attempt=last_attempt_number(folder), options=options.options,
        script_sha256=digest, resume=resume, launcher=launcher,
    )  # fmt: skip
    write_record(folder.slurm, job)  # a job that starts at once finds it
    if options.in_array:
        return
    is_ours = digest == _digest(folder)
    try:
        number = slurm.submit(folder.slurm_script, [] if is_ours else _changed_options(options, before))
    except SlurmError as error:
        if before is not None:
            write_record(folder.slurm, before)
        raise UserError(f"Slurm does not accept {folder.id}: {error}") from None
    _record_job(folder, number)


def _write_script(folder: RunFolder, options: SlurmOptions, before: SlurmJob | None) -> str:
    """Write the script, unless the user has replaced it; returns the SHA-256 of ours."""
    if before is not None and folder.slurm_script.exists() and _digest(folder) != before.script_sha256:
        return before.script_sha256
    write_bytes(folder.slurm_script, script_text(folder, options).encode(), mode=0o700)
    return _digest(folder)


def has_own_script(folder: RunFolder) -> bool:
    """Whether the user has replaced the batch script of a run."""
    job = read_job(folder)
    return job is not None and folder.slurm_script.exists() and _digest(folder) != job.script_sha256


def _digest(folder: RunFolder) -> str:
    return hashlib.sha256(folder.slurm_script.read_bytes()).hexdigest()


def _changed_options(options: SlurmOptions, before: SlurmJob | None) -> list[str]:
    """Options that differ from those of the last time, which a script of the user contains or has replaced."""
    known = before.options if before else {}
    changed = {name: value for name, value in options.options.items() if known.get(name) != value}
    return [f"--{name}={value}" if value else f"--{name}" for name, value in changed.items()]


def _record_job(folder: RunFolder, number: str) -> None:
    """Record the id of a job that may have started already."""
    job = read_job(folder)
    if job is not None:
        write_record(folder.slurm, replace(job, job=number))
    forget_answers()


def submit_array(folders: Sequence[RunFolder], options: SlurmOptions) -> str:
    """Submit runs, whose scripts are written, as one array; returns its id. Raises `UserError`, `OSError`."""
    script = folders[0].path / ARRAY_SCRIPT
    write_bytes(script, array_script_text(folders, options).encode(), mode=0o700)
    try:
        number = slurm.submit(script)
    except SlurmError as error:
        raise UserError(f"Slurm does not accept the array of {len(folders)} runs: {error}") from None
    for task, folder in enumerate(folders):
        _record_job(folder, f"{number}_{task}")
    return number


def forget_job(folder: RunFolder) -> None:
    """The run is started without Slurm from now on."""
    with contextlib.suppress(FileNotFoundError):
        folder.slurm.unlink()


def resubmission(folder: RunFolder, changed: SlurmOptions | None = None) -> SlurmOptions | None:
    """The options with which a run of Slurm is submitted again; `None` for a run that was started otherwise."""
    job = read_job(folder)
    if job is None:
        return changed
    new = changed or SlurmOptions(setup=read_defaults().setup)
    return msgspec.structs.replace(new, options={**job.options, **new.options})
