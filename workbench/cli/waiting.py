"""Waiting for runs that this command started, or only watches, and what signals do meanwhile."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from workbench.cli import follow
from workbench.cli.console import print_status
from workbench.cli.signals import SignalRecorder, is_init_process
from workbench.core.errors import UserError
from workbench.launcher import launch
from workbench.launcher.queue import hold
from workbench.launcher.slurm_attempt import requeue_own_job
from workbench.runs import requests
from workbench.runs.enums import RequestKind
from workbench.runs.nodes import read_placement
from workbench.runs.records import RequestValues
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import read_script
from workbench.runs.slurm_job import leave_queue, read_job
from workbench.runs.status import Status, status_of
from workbench.system.slurm import restartable_job

LAUNCHER = "command line"
MERGE_SECONDS = 0.25
"""The wait for a second signal that belongs to the first one."""


class SignalWaiter(ABC):
    """Waits for runs, and reacts to signals meanwhile.

    SIGUSR1 requests a checkpoint. With `owner`, in a batch job that Slurm may start again, the runs stop after it,
    those that wait are held, and the job goes back into Slurm's queue.

    With `owner`, Ctrl-C and SIGTERM stop the runs, and a second one leaves them; SIGHUP leaves them at once. Without
    `owner`, each of them leaves them. Process 1 of a container never leaves: with it the runs would be killed.
    """

    def __init__(self, signals: SignalRecorder, runs: str, *, owner: bool) -> None:
        """`runs`: how messages name what it waits for."""
        self._signals, self._runs, self._owner = signals, runs, owner
        self._stop_sent = False
        self._requeues = False
        """Whether Slurm is to start the batch job of this command once more."""
        self._held, self._stopped = set[str](), set[str]()
        """The ids of runs that are held, or have been asked to stop, for that."""
        self.interrupted = False
        """Whether Ctrl-C, SIGTERM or SIGHUP was received."""

    def _handle_signals(self) -> bool:
        """React to the signals that were received; returns whether to leave the runs.

        The first one that ends the wait may have company: `timeout` sends SIGTERM to its child and then to the process
        group. What arrives within `MERGE_SECONDS`, and so before it is answered, counts as one with it.
        """
        if self._requeues:
            self._stop_for_requeue()  # a run that waited may have started in the moment of the signal
        received = self._signals.take()
        if not received:
            return False
        self._clear_line()
        if self._owner and not self._stop_sent and any(number is not signal.SIGUSR1 for number in received):
            time.sleep(MERGE_SECONDS)
            received += self._signals.take()
        if signal.SIGUSR1 in received and not self._request_requeue():
            self._request_checkpoint()
        ends = [number for number in received if number is not signal.SIGUSR1]
        return bool(ends) and self._handle_end(ends[0])

    def _handle_end(self, number: signal.Signals) -> bool:
        self.interrupted = True
        if self._owner and not self._stop_sent and number is not signal.SIGHUP:
            if number is signal.SIGINT:
                print(file=sys.stderr)  # ends the line on which the terminal echoed ^C
            self._stop_sent = self._stop(number)
            return False
        if self._owner and is_init_process():
            self.interrupted = self._stop_sent
            print_status(
                f"{number.name}: this command is process 1, whose end would kill {self._runs}; it waits on"
            )
            return False
        print_status(f"{'' if number is signal.SIGINT else number.name + ': '}{self._leave()}")
        return True

    def _request_requeue(self) -> bool:
        """Stop the runs for a requeue of the batch job, and hold those that wait; false where that is of no use."""
        folders = self._started_runs()
        if not folders or any(read_job(folder) is not None for folder in folders):
            return False  # the batch job of a run that was submitted itself is told by Slurm
        if not self._owner or not (job := restartable_job()):
            return False
        self._requeues = self.interrupted = True
        self._stop_for_requeue()
        print_status(
            f"SIGUSR1: stopping {self._runs}; what is left goes on once Slurm starts job {job} again."
        )
        return True

    def _stop_for_requeue(self) -> None:
        """Hold the runs that wait, and stop those that work, each once."""
        for folder in self._started_runs():
            status = status_of(folder)
            is_done = folder.id in (self._held if status is Status.QUEUED else self._stopped)
            if is_done or status.ended:
                continue
            with contextlib.suppress(UserError):  # it has started, or ended, in this moment
                if status is Status.QUEUED:
                    hold(folder, held=True)
                    self._held.add(folder.id)
                else:
                    launch.send_request(folder, RequestKind.STOP, RequestValues(requeue=True))
                    self._stopped.add(folder.id)

    def _requeue(self) -> None:
        """Put the batch job back into Slurm's queue, if that was requested, once the runs have stopped."""
        if self._requeues:
            folders = self._started_runs()
            waits = any(status_of(folder) is Status.QUEUED for folder in folders)
            requeue_own_job(folders, others_wait=waits)

    def _started_runs(self) -> Sequence[RunFolder]:
        """The runs that this command started, if a new start of it would continue them."""
        return ()

    @abstractmethod
    def _clear_line(self) -> None:
        """Remove the line of progress."""

    @abstractmethod
    def _request_checkpoint(self) -> None:
        """Request a checkpoint of the runs, and say so."""

    @abstractmethod
    def _stop(self, number: signal.Signals) -> bool:
        """Stop the runs, and say so; whether that was requested."""

    @abstractmethod
    def _leave(self) -> str:
        """Withdraw a stop that has not started; returns how to come back to the runs."""


class RunWaiter(SignalWaiter):
    """Follows a run until it ends. A queued run leaves the queue at the first Ctrl-C or SIGTERM.

    `since` as in `Follower`.
    """

    def __init__(
        self, folder: RunFolder, signals: SignalRecorder, *, owner: bool, since: float = 0.0
    ) -> None:
        super().__init__(signals, folder.id, owner=owner)
        self._folder = folder
        self._follower = follow.Follower(folder, since, whole_output=owner and not since)
        self._after = "" if read_script(folder.experiment) else " after a checkpoint"
        self._checkpoints: list[str] = []
        """Ids of requests for a checkpoint without an answer."""
        self.withdrawn = False
        """Whether a signal has taken the run out of the queue."""

    def wait(self) -> Status:
        """The status of the run at its end, `running` where it is left running, `queued` where it is left waiting."""
        while (status := self._follower.poll()) is None and not self._is_held():
            if self._handle_signals():
                queued = status_of(self._folder) is Status.QUEUED
                return Status.QUEUED if queued else Status.RUNNING
            self._show_answers()
            time.sleep(follow.POLL_SECONDS)
        self._show_answers()
        self._requeue()
        return Status.QUEUED if status is None else status

    def _is_held(self) -> bool:
        return self._requeues and status_of(self._folder) is Status.QUEUED

    def _started_runs(self) -> Sequence[RunFolder]:
        joins = read_placement(self._folder).joins  # its first node has got the signals too
        return () if joins else (self._folder,)

    def _clear_line(self) -> None:
        self._follower.clear()

    def _request_checkpoint(self) -> None:
        if read_placement(self._folder).joins:  # the first node has got the signal too
            return
        try:
            self._checkpoints.append(launch.send_request(self._folder, RequestKind.CHECKPOINT))
        except UserError as error:
            print_status(f"SIGUSR1: no checkpoint: {error}")
        else:
            print_status(f"SIGUSR1: requested a checkpoint of {self._folder.id}.")

    def _stop(self, number: signal.Signals) -> bool:
        if status_of(self._folder) is Status.QUEUED and leave_queue(self._folder):
            self.withdrawn = True
            print_status(f"{number.name}: {self._folder.id} is taken out of the queue.")
            return True
        try:
            launch.stop_run(self._folder)
        except UserError as error:
            if status_of(self._folder).live:  # else it has ended in this moment
                print_status(str(error))
            return False
        if number is signal.SIGINT:
            print_status(f"Stopping {self._folder.id}{self._after}; press Ctrl-C again to leave it running.")
        else:
            print_status(
                f"{number.name}: stopping {self._folder.id}{self._after}; a second one leaves it running."
            )
        return True

    def _leave(self) -> str:
        run = self._folder.id
        if status_of(self._folder) is Status.QUEUED:
            return f"{run} stays in the queue; follow it with 'workbench watch {run}' or in 'workbench'."
        withdrawn = self._stop_sent and requests.withdraw_requests(self._folder, RequestKind.STOP)
        if self._stop_sent and not withdrawn:
            return f"{run} is left running until it has stopped; 'workbench resume {run}' continues it."
        return f"{run} keeps running; follow it with 'workbench watch {run}' or in 'workbench'."

    def _show_answers(self) -> None:
        for request_id in list(self._checkpoints):
            if (answer := requests.read_answer(self._folder, request_id)) is not None:
                self._checkpoints.remove(request_id)
                self._follower.clear()
                print_status(f"  checkpoint: {answer.text}")


def check_detached(options: argparse.Namespace) -> None:
    """Raise `UserError` where the end of this command would kill the run."""
    if options.detach and is_init_process():
        raise UserError(
            "--detach: this command is process 1 of its container, so the run would be killed when it returns: "
            "leave --detach out"
        )
