"""A worker of a sweep: `python -m workbench.sweeps.worker SWEEP_DIR`, on this host or as a task of a Slurm array.

It takes one trial after the other, until all have ended or the sweep is stopped. It keeps nothing in memory that
matters: a trial whose worker was killed is taken by another one, which finds its run by the id in Optuna's storage.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

from workbench.core.paths import is_folder
from workbench.io.record_codec import write_record
from workbench.launcher.detached import Reply, leave_session
from workbench.launcher.fork_client import fork_off_server, start_fork_server
from workbench.launcher.fork_protocol import FORKED
from workbench.runs.records import RequestValues
from workbench.sweeps.records import MAX_WORKERS, StopRecord
from workbench.sweeps.slurm_task import LEAVE, SlurmTask
from workbench.sweeps.study import OpenTrial, SweepStudy
from workbench.sweeps.sweep_folder import SweepFolder, SweepLock
from workbench.sweeps.trial_run import Outcome, TrialRun

POLL_SECONDS = 0.3
SUMMARY_SECONDS = 1.0
"""How often the summary is written while nothing but values of running trials changes."""


def main() -> None:
    """Leave the starter's session, then work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sweep_dir", type=Path)
    parser.add_argument("--ready-fd", type=int, default=-1)
    parser.add_argument("--slurm", action="store_true", help="this is the process of a Slurm job: stay in it")
    parser.add_argument(FORKED, action="store_true", help="forked with PyTorch imported, as runs can be")
    arguments = parser.parse_args()
    task = SlurmTask() if arguments.slurm else None
    if arguments.slurm:
        arguments.ready_fd = os.dup(sys.stderr.fileno())
    else:
        leave_session()
    if arguments.forked:
        fork_off_server(not_inherited=[arguments.ready_fd])
    else:
        start_fork_server()  # PyTorch is imported while the first trial starts
    folder = SweepFolder(arguments.sweep_dir)
    os.environ["WORKBENCH_HOME"] = str(folder.path.parent.parent)
    lock = SweepLock(folder)
    worker = SweepWorker(folder, lock, task) if lock.take_slot() else None
    reply = Reply.READY if worker else f"{folder.name} has {MAX_WORKERS} workers already"
    os.write(arguments.ready_fd, f"{reply}\n".encode())
    os.close(arguments.ready_fd)
    if worker:
        worker.run()


class SweepWorker:
    """Takes trials of one sweep."""

    def __init__(self, folder: SweepFolder, lock: SweepLock, task: SlurmTask | None = None) -> None:
        """`task`: the task of a Slurm array that it is."""
        self._folder, self._lock, self._task = folder, lock, task
        self._definition = folder.read_definition()
        if is_folder(Path(self._definition.directory)):
            os.chdir(self._definition.directory)
        self._study = SweepStudy(folder, self._definition, lock)
        self._next_summary = 0.0

    def run(self) -> None:
        """Work until all trials have ended, the sweep is stopped, or Slurm ends this worker."""
        self._write_summary()
        while self._leave() is None:
            trial = self._take()
            if trial is not None:
                self._work(trial)
            elif self._all_ended():
                break
            else:
                time.sleep(POLL_SECONDS)  # the worker of one that runs may be killed
        self._write_summary()
        if self._task and self._task.ends and not self._folder.stop.exists() and not self._all_ended():
            self._task.requeue()

    def _leave(self) -> RequestValues | None:
        """How to stop the run of a trial, if this worker has to leave it."""
        if self._folder.stop.exists():
            return RequestValues()
        return LEAVE if self._task is not None and self._task.ends else None

    def _take(self) -> OpenTrial | None:
        """A trial that nobody works on: one that was left, else a new one; `None` where there is none."""
        with self._lock.mutex():
            for number in self._study.open_trials():
                if self._lock.take_trial(number):
                    return self._study.take_over(number)
            if self._study.started() >= self._count():
                return None
            self._lock.take_trial(self._study.next_number())
            return self._study.ask()

    def _count(self) -> int:
        """The trials that are asked for; a resume may have changed that."""
        return self._folder.read_definition().trials

    def _all_ended(self) -> bool:
        return not self._study.open_trials() and self._study.started() >= self._count()

    def _work(self, trial: OpenTrial) -> None:
        self._next_summary = 0.0
        outcome = TrialRun(self._folder, self._definition, trial, self._update_summary, self._leave).work()
        self._lock.release_trial(trial.number)
        if outcome is Outcome.NO_METRIC:
            error = (
                f"the run of trial {trial.number} has no {self._definition.metric}: choose another --metric"
            )
            write_record(self._folder.stop, StopRecord(time=round(time.time(), 3), error=error))
        self._write_summary()

    def _update_summary(self) -> None:
        if time.monotonic() >= self._next_summary:
            self._write_summary()

    def _write_summary(self) -> None:
        with self._lock.mutex(), contextlib.suppress(OSError):  # a full disk: the next one has it all
            write_record(self._folder.summary, self._study.summary(), durable=False)
        self._next_summary = time.monotonic() + SUMMARY_SECONDS


if __name__ == "__main__":
    main()
