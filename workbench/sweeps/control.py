"""Starting, stopping and resuming sweeps, for the command line and the screen."""

from __future__ import annotations

import contextlib
import importlib.util
import time

from msgspec.structs import replace

from workbench.config.experiment import check_run_name
from workbench.core import paths
from workbench.core.distribution import install_hint
from workbench.core.errors import UserError
from workbench.io.record_codec import write_record
from workbench.launcher import launch
from workbench.launcher.detached import Reply, start_detached
from workbench.launcher.fork_client import wait_for_fork_server
from workbench.launcher.group_start import free_group
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import status_of
from workbench.runs.store import Store
from workbench.sweeps.definition import grid_points
from workbench.sweeps.records import MAX_TRIALS, MAX_WORKERS, SamplerName, StopRecord, SweepDefinition
from workbench.sweeps.sweep_folder import SweepFolder, SweepLock, SweepStore

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


def start_workers(folder: SweepFolder, count: int) -> None:
    """Start processes that work on a sweep and outlive this one. Raises `UserError`."""
    wait_for_fork_server(lambda: False)  # PyTorch is imported once for all of them, and for their runs
    for _ in range(count):
        reply = start_detached(WORKER, [str(folder.path)], folder.log, may_fork=True)
        if reply != Reply.READY:
            raise UserError(f"a worker of {folder.name} could not be started: {reply or f'see {folder.log}'}")


def stop_sweep(folder: SweepFolder) -> None:
    """Ask the workers to stop their runs after a checkpoint, and to end; `wait_until_stopped` waits for that."""
    write_record(folder.stop, StopRecord(time=round(time.time(), 3)))


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


def resume_sweep(folder: SweepFolder, *, trials: int | None = None, workers: int | None = None) -> int:
    """Continue a sweep, with this number of trials, by more workers; returns how many were started.

    `workers`: by default as many as the sweep was started with, less those that work on it. Raises `UserError`.
    """
    definition = folder.read_definition()
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
    count = max(definition.workers - folder.live_workers(), 0) if workers is None else workers
    start_workers(folder, count)
    return count


def _with_trials(folder: SweepFolder, definition: SweepDefinition, trials: int) -> SweepDefinition:
    """The sweep with another number of trials. Raises `UserError`."""
    started = len(folder.read_summary().trials)
    most = len(grid_points(definition.spaces)) if definition.sampler is SamplerName.GRID else MAX_TRIALS
    if not 1 <= trials <= most:
        raise UserError(f"--trials must be from 1 to {most:,}, not {trials}")
    if trials < started:
        raise UserError(f"--trials {trials}: {started} trials of {folder.name} were started already")
    return replace(definition, trials=trials)
