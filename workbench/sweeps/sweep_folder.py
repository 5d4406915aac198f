"""The folder of a sweep: its files, who works on it, and the list of all sweeps."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from workbench.core import paths
from workbench.core.errors import UserError, did_you_mean
from workbench.io.record_codec import read_record
from workbench.io.record_locks import RecordLock, holder_pid
from workbench.runs.slurm_job import waits_for
from workbench.runs.trash import SWEEP_FILE
from workbench.sweeps.records import (
    MAX_WORKERS,
    StopRecord,
    SweepDefinition,
    SweepStatus,
    SweepSummary,
    TrialState,
)
from workbench.sweeps.slurm_jobs import open_tasks
from workbench.system.slurm import Job

MUTEX_BYTE, JOURNAL_BYTE, FIRST_WORKER_BYTE, FIRST_TRIAL_BYTE = 0, 1, 100, 1000
"""The bytes of the lock file: of who takes a trial, of who writes Optuna's journal, and one per worker and trial."""
POLL_SECONDS = 0.005
LAST = "last"
NO_SWEEPS = "No sweeps."
EXAMPLE = "workbench sweep digits-mlp --param train.lr=log:1e-4:1e-1 --trials 20"
"""A command that starts a sweep."""


@dataclass(frozen=True)
class SweepFolder:
    """The paths of the files of one sweep; `records` defines their contents."""

    path: Path

    @property
    def name(self) -> str:
        """The sweep's name, and that of the group of its runs."""
        return self.path.name

    @property
    def definition(self) -> Path:
        """What is searched."""
        return self.path / SWEEP_FILE

    @property
    def journal(self) -> Path:
        """Optuna's storage."""
        return self.path / "journal.log"

    @property
    def summary(self) -> Path:
        """The trials, for readers without Optuna."""
        return self.path / "summary.json"

    @property
    def stop(self) -> Path:
        """Exists while the sweep shall not go on."""
        return self.path / "stop"

    @property
    def lock(self) -> Path:
        """The file whose bytes are locked by those who work."""
        return self.path / "lock"

    @property
    def slurm_script(self) -> Path:
        """The batch script of workers in Slurm, which the user may replace."""
        return self.path / "slurm.sh"

    @property
    def log(self) -> Path:
        """What the workers print."""
        return self.path / "worker.log"

    @property
    def runs(self) -> Path:
        """The folder of all runs, those of the trials among them."""
        return self.path.parent.parent / paths.runs().name

    def read_definition(self) -> SweepDefinition:
        """What is searched. Raises `UserError` where the file is missing or damaged."""
        definition = read_record(self.definition, SweepDefinition)
        if definition is None:
            raise UserError(f"{self.definition} is missing or damaged")
        return definition

    def read_summary(self) -> SweepSummary:
        """The trials as far as they are recorded."""
        return read_record(self.summary, SweepSummary) or SweepSummary()

    def live_workers(self) -> int:
        """The number of processes that work on the sweep, on any host."""
        with contextlib.suppress(OSError):  # a file system without locks
            return sum(
                holder_pid(self.lock, FIRST_WORKER_BYTE + slot) is not None for slot in range(MAX_WORKERS)
            )
        return 0

    def worked_on(self, number: int) -> bool:
        """Whether a worker has the trial with this number."""
        with contextlib.suppress(OSError):
            return holder_pid(self.lock, FIRST_TRIAL_BYTE + number) is not None
        return False

    def stop_error(self) -> str:
        """Why the sweep can't go on; empty where it was not stopped by an error."""
        return (read_record(self.stop, StopRecord) or StopRecord()).error


@dataclass(frozen=True)
class SweepView:
    """A sweep at one moment."""

    folder: SweepFolder
    definition: SweepDefinition
    summary: SweepSummary
    status: SweepStatus
    workers: int
    """How many processes work on it."""
    tasks: tuple[Job, ...] = ()
    """Of workers in Slurm: those that wait, or have been started, as Slurm says; empty while a worker works."""

    @property
    def waits_for(self) -> str:
        """What its workers in Slurm wait for, for people; empty unless it is queued."""
        return waits_for(self.tasks[0]) if self.status is SweepStatus.QUEUED else ""

    @property
    def error(self) -> str:
        """Why it can't go on, for people; empty unless it has failed."""
        return self.folder.stop_error() if self.status is SweepStatus.FAILED else ""


def read_sweep(folder: SweepFolder) -> SweepView:
    """The sweep as it is now. Raises `UserError` where its definition is missing or damaged."""
    definition, workers = folder.read_definition(), folder.live_workers()
    summary = folder.read_summary()  # after the workers: what one has written at its end is in it
    trials = tuple(
        replace(trial, state=TrialState.INTERRUPTED)
        if trial.state is TrialState.RUNNING and not (workers and folder.worked_on(trial.number))
        else trial
        for trial in summary.trials
    )
    is_finished = summary.ended >= definition.trials
    tasks = () if workers or is_finished else tuple(open_tasks(folder.path))
    status = SweepStatus.FINISHED if is_finished else _status(folder, workers, tasks)
    return SweepView(folder, definition, replace(summary, trials=trials), status, workers, tasks)


def _status(folder: SweepFolder, workers: int, tasks: Sequence[Job]) -> SweepStatus:
    """The status of a sweep of which trials are left."""
    if workers:
        return SweepStatus.STOPPING if folder.stop.exists() else SweepStatus.RUNNING
    if not folder.stop.exists():
        return SweepStatus.QUEUED if tasks else SweepStatus.INTERRUPTED
    return SweepStatus.FAILED if folder.stop_error() else SweepStatus.STOPPED


def goal(definition: SweepDefinition) -> str:
    """What is improved, for people."""
    return f"{'lower' if definition.minimize else 'higher'} {definition.metric} is better"


class SweepLock:
    """The bytes of a sweep's lock file that this process holds."""

    def __init__(self, folder: SweepFolder) -> None:
        self._lock = RecordLock(folder.lock)

    @contextlib.contextmanager
    def mutex(self, byte: int = MUTEX_BYTE) -> Iterator[None]:
        """Inside the context no other process is in it; waits as long as it takes."""
        while not self._lock.acquire(byte):
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            self._lock.release(byte)

    def take_slot(self) -> bool:
        """Be one of the workers from now on; false where there are too many."""
        return any(self._lock.acquire(FIRST_WORKER_BYTE + slot) for slot in range(MAX_WORKERS))

    def take_trial(self, number: int) -> bool:
        """Have a trial, unless another worker has it."""
        return self._lock.acquire(FIRST_TRIAL_BYTE + number)

    def release_trial(self, number: int) -> None:
        """Have it no longer."""
        self._lock.release(FIRST_TRIAL_BYTE + number)


@dataclass(frozen=True)
class SweepStore:
    """The sweeps of a home."""

    home: Path

    @classmethod
    def default(cls) -> SweepStore:
        """Those in `$WORKBENCH_HOME`."""
        return cls(paths.home())

    @property
    def root(self) -> Path:
        """The folder of all sweeps."""
        return self.home / paths.sweeps().name

    def list_sweeps(self) -> list[tuple[SweepFolder, SweepDefinition]]:
        """All sweeps, newest first."""
        found = [SweepFolder(path.parent) for path in self.root.glob(f"*/{SWEEP_FILE}")]
        read = [(folder, read_record(folder.definition, SweepDefinition)) for folder in found]
        sweeps = [(folder, definition) for folder, definition in read if definition is not None]
        return sorted(sweeps, key=lambda sweep: (sweep[1].created, sweep[0].name), reverse=True)

    def find(self, query: str) -> SweepFolder:
        """The sweep that `query` names: `last`, its name or a prefix of that. Raises `UserError`."""
        sweeps = [folder for folder, _ in self.list_sweeps()]
        if not sweeps:
            raise UserError(f"no sweeps in {self.root} (workbench sweep --help says how to start one)")
        if query == LAST:
            return sweeps[0]
        exact = [folder for folder in sweeps if folder.name == query]
        matches = exact or [folder for folder in sweeps if query and folder.name.startswith(query)]
        if len(matches) == 1:
            return matches[0]
        names = [folder.name for folder in matches or sweeps]
        if matches:
            raise UserError(f"'{query}' is ambiguous: it matches the sweeps {', '.join(names[:4])}")
        raise UserError(f"no sweep '{query}'{did_you_mean(query, names)}; 'workbench sweep' lists them")
