"""Waiting for runs that this command started, or only watches, and what signals do meanwhile."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from abc import ABC, abstractmethod

from workbench.cli import follow
from workbench.cli.console import print_status
from workbench.cli.signals import SignalRecorder, is_init_process
from workbench.core.errors import UserError
from workbench.launcher import launch
from workbench.launcher.slurm_attempt import requeue_own_job
from workbench.runs import requests
from workbench.runs.attempts import last_attempt_number
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

    SIGUSR1 requests a checkpoint. With `owner`, Ctrl-C and SIGTERM stop the runs, and a second one leaves them; SIGHUP
    leaves them at once. Without `owner`, each of them leaves them. Process 1 of a container never leaves: with it the
    runs would be killed.
    """

    def __init__(self, signals: SignalRecorder, runs: str, *, owner: bool) -> None:
        """`runs`: how messages name what it waits for."""
        self._signals, self._runs, self._owner = signals, runs, owner
        self._stop_sent = False
        self.interrupted = False
        """Whether Ctrl-C, SIGTERM or SIGHUP was received."""

    def _handle_signals(self) -> bool:
        """React to the signals that were received; returns whether to leave the runs.

        The first one that ends the wait may have company: `timeout` sends SIGTERM to its child and then to the process
        group. What arrives within `MERGE_SECONDS`, and so before it is answered, counts as one with it.
        """
        received = self._signals.take()
        if not received:
            return False
        self._clear_line()
        if self._owner and not self._stop_sent and any(number is not signal.SIGUSR1 for number in received):
            time.sleep(MERGE_SECONDS)
            received += self._signals.take()
        if signal.SIGUSR1 in received:
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

    With `owner`, in a batch job that Slurm may start again, the run stops after the checkpoint that SIGUSR1 requests,
    and the job goes back into Slurm's queue.

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
        self._requeues = False
        """Whether Slurm is to start the batch job of this command once more."""
        self.withdrawn = False
        """Whether a signal has taken the run out of the queue."""

    def wait(self) -> Status:
        """The status of the run at its end, `running` where it is left running, `queued` where it is left waiting."""
        while (status := self._follower.poll()) is None:
            if self._handle_signals():
                queued = status_of(self._folder) is Status.QUEUED
                return Status.QUEUED if queued else Status.RUNNING
            self._show_answers()
            time.sleep(follow.POLL_SECONDS)
        self._show_answers()
        if self._requeues:
            requeue_own_job(self._folder, last_attempt_number(self._folder))
        return status

    def _clear_line(self) -> None:
        self._follower.clear()

    def _request_checkpoint(self) -> None:
        if read_placement(self._folder).joins:  # the first node has got the signal too
            return
        # The batch job of a run that was submitted itself is told by Slurm.
        if self._owner and read_job(self._folder) is None and (job := restartable_job()):
            self._request_requeue(job)
            return
        try:
            self._checkpoints.append(launch.send_request(self._folder, RequestKind.CHECKPOINT))
        except UserError as error:
            print_status(f"SIGUSR1: no checkpoint: {error}")
        else:
            print_status(f"SIGUSR1: requested a checkpoint of {self._folder.id}.")

    def _request_requeue(self, job: str) -> None:
        try:
            launch.send_request(self._folder, RequestKind.STOP, RequestValues(requeue=True))
        except UserError as error:
            print_status(f"SIGUSR1: {error}")
            return
        self._requeues = self.interrupted = True
        print_status(
            f"SIGUSR1: {self._folder.id} stops{self._after}, and goes on once Slurm starts job {job} again."
        )

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
