"""Starting, stopping and resuming sweeps, for the command line and the screen."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import time
from pathlib import Path

from msgspec.structs import replace

from workbench.config.experiment import check_run_name
from workbench.config.process_count import process_count
from workbench.core import paths
from workbench.core.distribution import install_hint
from workbench.core.errors import UserError
from workbench.io.record_codec import write_record
from workbench.io.record_locks import holder_pid
from workbench.launcher import launch
from workbench.launcher.detached import Reply, start_detached
from workbench.launcher.fork_client import wait_for_fork_server
from workbench.launcher.group_start import free_group
from workbench.launcher.slurm import check_available, merged_options, submit_script, write_script
from workbench.launcher.slurm_script import (
    ARRAY,
    SlurmOptions,
    array_tasks,
    check_tasks,
    worker_script_text,
)
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import status_of
from workbench.runs.store import Store
from workbench.runs.trash import move_to_trash, restore_run
from workbench.sweeps.definition import grid_points, trial_experiment
from workbench.sweeps.records import (
    MAX_TRIALS,
    MAX_WORKERS,
    SamplerName,
    StopRecord,
    SweepDefinition,
)
from workbench.sweeps.slurm_jobs import SlurmWorkers, cancel_waiting, list_workers, open_tasks, record_workers
from workbench.sweeps.sweep_folder import FIRST_WORKER_BYTE, SweepFolder, SweepLock, SweepStore, read_sweep
from workbench.system.slurm import JobState, SlurmError

WORKER = "workbench.sweeps.worker"
EXTRA = "sweep"
STOP_SECONDS, POLL_SECONDS = 120.0, 0.1
"""A run stops within the time of a step, or of an evaluation, and of a checkpoint."""


def check_optuna(sampler: SamplerName) -> None:
    """Raise `UserError` where the packages of the extra are not installed."""
    for package in ("optuna", *(("cmaes",) if sampler is SamplerName.CMAES else ())):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"a sweep needs the package '{package}': {install_hint(EXTRA)}")


def create_sweep(definition: SweepDefinition, name: str, *, exact: bool) -> SweepFolder:
    """A new sweep, without workers; with `exact` it is called `name`, else with a number behind it if need be.

    Raises `UserError`.
    """
    from workbench.sweeps.study import SweepStudy  # noqa: PLC0415  (only who starts a sweep needs Optuna)

    folder = _make_folder(SweepStore.default(), check_run_name(name), exact=exact)
    named = replace(definition, name=folder.name)
    SweepStudy.create(folder, named, SweepLock(folder))
    write_record(folder.definition, named)  # from now on it is a sweep
    return folder


def _make_folder(store: SweepStore, name: str, *, exact: bool) -> SweepFolder:
    """A folder whose name is that of no sweep and no group of runs."""
    runs = Store(store.home / paths.runs().name)
    while True:
        folder = SweepFolder(store.root / (name if exact else free_group(name, runs.list_runs())))
        try:
            folder.path.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            if exact:
                raise UserError(
                    f"there is a sweep {name} already (workbench sweep resume {name} continues it)"
                ) from None
            name = _with_next_number(name)
        else:
            return folder


def _with_next_number(name: str) -> str:
    """`sweep` as `sweep-2`, `sweep-2` as `sweep-3`."""
    stem, _, number = name.rpartition("-")
    return f"{stem}-{int(number) + 1}" if stem and number.isdecimal() else f"{name}-2"


def start_sweep(
    definition: SweepDefinition, name: str, slurm: SlurmOptions | None, *, exact: bool
) -> SweepFolder:
    """Create a sweep and start its workers, or submit them to Slurm; see `create_sweep`. Raises `UserError`."""
    if slurm is not None:
        _check_slurm_options(slurm, definition)
    folder = create_sweep(definition, name, exact=exact)
    try:
        start_workers(folder, definition.workers, slurm)
    except (UserError, OSError):
        if not folder.log.exists() or not folder.log.stat().st_size:  # else it has the reason
            shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


def _check_slurm_options(slurm: SlurmOptions, definition: SweepDefinition) -> None:
    """Raise `UserError` where workers can't be submitted, or not with these options."""
    check_available()
    check_tasks(slurm.options, _processes(definition), max_nodes=1)


def start_workers(folder: SweepFolder, count: int, slurm: SlurmOptions | None = None) -> None:
    """Start processes that work on a sweep and outlive this one, or submit them to Slurm. Raises `UserError`."""
    _check_locks(folder, count)
    if slurm is not None:
        _submit_workers(folder, count, slurm)
        return
    wait_for_fork_server(lambda: False)  # PyTorch is imported once for all of them, and for their runs
    for _ in range(count):
        reply = start_detached(WORKER, [str(folder.path)], folder.log, may_fork=True)
        if reply != Reply.READY:
            raise UserError(f"a worker of {folder.name} could not be started: {reply or f'see {folder.log}'}")


def _check_locks(folder: SweepFolder, count: int) -> None:
    """Raise `UserError` for several workers where they could not see which trials the others have."""
    try:
        holder_pid(folder.lock, FIRST_WORKER_BYTE)
    except OSError:
        if count > 1:
            raise UserError(
                f"{folder.path.parent} is on a file system without locks, where one worker can work on a sweep, not "
                f"{count}: --workers 1"
            ) from None


def _processes(definition: SweepDefinition) -> int:
    """The processes of each trial."""
    return process_count(trial_experiment(definition.content, {}).train)


def _submit_workers(folder: SweepFolder, count: int, slurm: SlurmOptions) -> None:
    before = list_workers(folder.path)[-1:]
    known, sha256 = (before[0].options, before[0].script_sha256) if before else ({}, "")
    limit = slurm.options.get(ARRAY, "").lstrip("0123456789-")
    options = {**slurm.options, ARRAY: array_tasks(count, limit)}
    processes = _processes(folder.read_definition())
    script = worker_script_text(folder.log, WORKER, replace(slurm, options=options), processes)
    digest = write_script(folder.slurm_script, script, sha256)
    try:
        job = submit_script(folder.slurm_script, options, known, digest)
    except SlurmError as error:
        raise UserError(f"Slurm does not accept the workers of {folder.name}: {error}") from None
    record_workers(
        folder.path,
        SlurmWorkers(job=job, count=count, time=round(time.time(), 3), options=options, script_sha256=digest),
    )


def stop_sweep(folder: SweepFolder) -> None:
    """Ask the workers to stop their runs after a checkpoint, and to end; `wait_until_stopped` waits for that."""
    write_record(folder.stop, StopRecord(time=round(time.time(), 3)))
    cancel_waiting(folder.path)


def wait_until_stopped(folder: SweepFolder, seconds: float = STOP_SECONDS) -> bool:
    """Wait until nobody works on the sweep, and stop runs whose worker was killed; whether that is so in time."""
    until = time.monotonic() + seconds
    while folder.live_workers():
        if time.monotonic() >= until:
            return False
        time.sleep(POLL_SECONDS)
    for trial in folder.read_summary().trials:
        run = RunFolder(folder.runs / trial.run)
        if trial.run and not trial.state.ended and status_of(run).live:
            with contextlib.suppress(UserError):  # it has ended in this moment
                launch.stop_run(run)
    return True


def remove_sweep(folder: SweepFolder) -> Path:
    """Move a sweep on which nobody works to the trash, without its runs; returns its path there. Raises `UserError`."""
    status = read_sweep(folder).status
    if status.live:
        raise UserError(f"{folder.name} is {status}: stop it first (workbench sweep stop {folder.name})")
    return move_to_trash(folder.path, folder.path.parent.parent / paths.trash().name)


def restore_sweep(folder: SweepFolder) -> None:
    """Move a sweep back from the trash. Raises `UserError`."""
    restore_run(folder.name, folder.path.parent.parent / paths.trash().name, folder.runs)


def resume_sweep(
    folder: SweepFolder, *, trials: int | None = None, workers: int | None = None,
    slurm: SlurmOptions | None = None, without_slurm: bool = False,
) -> int:  # fmt: skip
    """Continue a sweep, with this number of trials, by more workers; returns how many were started.

    `workers`: by default as many as the sweep was started with, less those that work on it, or wait. Those of a sweep
    in Slurm are submitted again, with the options that they had and those in `slurm`, unless `without_slurm`. Raises
    `UserError`.
    """
    definition = folder.read_definition()
    slurm = None if without_slurm else _resubmission(folder, slurm)
    if slurm is not None:
        _check_slurm_options(slurm, definition)
    check_optuna(definition.sampler)
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise UserError(f"--workers must be from 1 to {MAX_WORKERS}, not {workers}")
    if trials is not None:
        definition = _with_trials(folder, definition, trials)
        write_record(folder.definition, definition)
    if folder.read_summary().ended >= definition.trials:
        raise UserError(f"all {definition.trials} trials of {folder.name} have ended: --trials N adds more")
    if folder.stop.exists() and not wait_until_stopped(folder):
        raise UserError(f"{folder.name} is still stopping: try again when its runs have stopped")
    folder.stop.unlink(missing_ok=True)
    waiting = sum(task.state is JobState.WAITING for task in open_tasks(folder.path))
    count = max(definition.workers - folder.live_workers() - waiting, 0) if workers is None else workers
    if count:
        start_workers(folder, count, slurm)
    return count


def _resubmission(folder: SweepFolder, changed: SlurmOptions | None) -> SlurmOptions | None:
    """The options with which workers are submitted again; `None` for those that were never submitted."""
    before = list_workers(folder.path)[-1:]
    return merged_options(before[0].options, changed) if before else changed


def _with_trials(folder: SweepFolder, definition: SweepDefinition, trials: int) -> SweepDefinition:
    """The sweep with another number of trials. Raises `UserError`."""
    started = len(folder.read_summary().trials)
    most = len(grid_points(definition.spaces)) if definition.sampler is SamplerName.GRID else MAX_TRIALS
    if not 1 <= trials <= most:
        raise UserError(f"--trials must be from 1 to {most:,}, not {trials}")
    if trials < started:
        raise UserError(f"--trials {trials}: {started} trials of {folder.name} were started already")
    return replace(definition, trials=trials)
