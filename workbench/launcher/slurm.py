"""Submitting runs to Slurm: one as a job of its own, several as the tasks of an array."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from workbench.core.errors import UserError
from workbench.io.atomic_files import write_bytes
from workbench.io.record_codec import write_record
from workbench.launcher.slurm_script import (
    SlurmOptions,
    array_script_text,
    check_tasks,
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


def submit_run(
    folder: RunFolder, options: SlurmOptions, resume: ResumeOptions, launcher: str, processes: int
) -> None:
    """Submit a run as a job of its own, or only write its script (`in_array`). Raises `UserError`, `OSError`.

    `processes`: those of a training. What a script needs, the user has to say.
    """
    check_available()
    if read_script(folder.experiment) is None:
        check_tasks(options.options, processes)
    else:
        processes = 1
    before = read_job(folder)
    sha256 = before.script_sha256 if before else ""
    digest = write_script(folder.slurm_script, script_text(folder, options, processes), sha256)
    job = SlurmJob(
        time=round(time.time(), 3), attempt=last_attempt_number(folder), options=options.options,
        script_sha256=digest, resume=resume, launcher=launcher,
    )  # fmt: skip
    write_record(folder.slurm, job)  # a job that starts at once finds it
    if options.in_array:
        return
    known = before.options if before else {}
    try:
        number = submit_script(folder.slurm_script, options.options, known, digest)
    except SlurmError as error:
        if before is not None:
            write_record(folder.slurm, before)
        raise UserError(f"Slurm does not accept {folder.id}: {error}") from None
    _record_job(folder, number)


def has_own_script(folder: RunFolder) -> bool:
    """Whether the user has replaced the batch script of a run."""
    job = read_job(folder)
    return job is not None and is_changed(folder.slurm_script, job.script_sha256)


def is_changed(script: Path, known_sha256: str) -> bool:
    """Whether the user has replaced the script that we have written with this SHA-256, empty where there is none."""
    return bool(known_sha256) and script.exists() and _digest(script) != known_sha256


def submit_script(script: Path, options: Mapping[str, str], known: Mapping[str, str], sha256: str) -> str:
    """Submit a script, which is ours if it has this SHA-256; returns the id of the job. Raises `SlurmError`.

    One of the user gets only those options that differ from the `known` ones of the last time, which it contains or
    has replaced.
    """
    changed = {} if _digest(script) == sha256 else {k: v for k, v in options.items() if known.get(k) != v}
    return slurm.submit(
        script, [f"--{name}={value}" if value else f"--{name}" for name, value in changed.items()]
    )


def write_script(script: Path, text: str, known_sha256: str) -> str:
    """Write a script, unless the user has replaced it, see `is_changed`; returns the SHA-256 of ours."""
    if is_changed(script, known_sha256):
        return known_sha256
    write_bytes(script, text.encode(), mode=0o700)
    return _digest(script)


def _digest(script: Path) -> str:
    return hashlib.sha256(script.read_bytes()).hexdigest()


def _record_job(folder: RunFolder, number: str) -> None:
    """Record the id of a job that may have started already."""
    job = read_job(folder)
    if job is not None:
        write_record(folder.slurm, replace(job, job=number))
    forget_answers()


def submit_array(folders: Sequence[RunFolder], options: SlurmOptions, processes: int) -> str:
    """Submit runs, whose scripts are written, as one array; returns its id. Raises `UserError`, `OSError`.

    `processes`: those of the run that has most.
    """
    script = folders[0].path / ARRAY_SCRIPT
    write_bytes(script, array_script_text(folders, options, processes).encode(), mode=0o700)
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
    return merged_options(job.options, changed)


def merged_options(before: Mapping[str, str], changed: SlurmOptions | None) -> SlurmOptions:
    """The options of an earlier submission with those that are changed."""
    new = changed or SlurmOptions(setup=read_defaults().setup)
    return msgspec.structs.replace(new, options={**before, **new.options})
