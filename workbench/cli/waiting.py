"""Waiting for a run that this command started, or only watches, and what signals do meanwhile."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from workbench.cli import follow
from workbench.cli.console import print_status
from workbench.cli.signals import SignalRecorder, is_init_process
from workbench.core.errors import UserError
from workbench.launcher import launch
from workbench.runs import requests
from workbench.runs.enums import RequestKind
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import read_script
from workbench.runs.status import Status, status_of
from workbench.runs.tickets import withdraw

LAUNCHER = "command line"
MERGE_SECONDS = 0.25
"""Signals that arrive this soon after the first one, and before it is answered, count as one."""


class RunWaiter:
    """Follows a run until it ends.

    SIGUSR1 requests a checkpoint. With `owner`, Ctrl-C and SIGTERM stop the run after a checkpoint, and a second one
    leaves it; a queued run leaves the queue at the first one. SIGHUP leaves the run at once. Without `owner`, each of
    them leaves it. Process 1 of a container never leaves: with it the run would be killed. `since` as in `Follower`.
    """

    def __init__(
        self, folder: RunFolder, signals: SignalRecorder, *, owner: bool, since: float = 0.0
    ) -> None:
        self._folder, self._signals, self._owner = folder, signals, owner
        self._follower = follow.Follower(folder, since, whole_output=owner and not since)
        self._after = "" if read_script(folder.experiment) else " after a checkpoint"
        self._checkpoints: list[str] = []
        """Ids of requests for a checkpoint without an answer."""
        self._stop_sent = False
        self.interrupted = False
        """Whether Ctrl-C, SIGTERM or SIGHUP was received."""
        self.withdrawn = False
        """Whether that has taken the run out of the queue."""

    def wait(self) -> Status:
        """The status of the run at its end, `running` where it is left running, `queued` where it is left waiting."""
        while (status := self._follower.poll()) is None:
            for number in self._signals.take():
                if self._handle(number):
                    queued = status_of(self._folder) is Status.QUEUED
                    return Status.QUEUED if queued else Status.RUNNING
            self._show_answers()
            time.sleep(follow.POLL_SECONDS)
        self._show_answers()
        return status

    def _handle(self, number: signal.Signals) -> bool:
        """React to a signal; returns whether to leave the run."""
        self._follower.clear()
        if number is signal.SIGUSR1:
            self._request_checkpoint()
            return False
        self.interrupted = True
        if self._owner and not self._stop_sent and number is not signal.SIGHUP:
            self._stop(number)
            return False
        if self._owner and is_init_process():
            self.interrupted = self._stop_sent
            print_status(
                f"{number.name}: this command is process 1, whose end would kill {self._folder.id}; it waits on"
            )
            return False
        print_status(f"{'' if number is signal.SIGINT else number.name + ': '}{self._leave()}")
        return True

    def _request_checkpoint(self) -> None:
        try:
            self._checkpoints.append(launch.send_request(self._folder, RequestKind.CHECKPOINT))
        except UserError as error:
            print_status(f"SIGUSR1: no checkpoint: {error}")
        else:
            print_status(f"SIGUSR1: requested a checkpoint of {self._folder.id}.")

    def _stop(self, number: signal.Signals) -> None:
        if status_of(self._folder) is Status.QUEUED and withdraw(self._folder):
            self._stop_sent = self.withdrawn = True
            if number is signal.SIGINT:
                print(file=sys.stderr)  # ends the line on which the terminal echoed ^C
            print_status(f"{number.name}: {self._folder.id} is taken out of the queue.")
            return
        try:
            launch.stop_run(self._folder)
        except UserError as error:
            if status_of(self._folder).live:  # else it has ended in this moment
                print_status(str(error))
            return
        self._stop_sent = True
        time.sleep(MERGE_SECONDS)
        for other in self._signals.take():
            if other is signal.SIGUSR1:
                self._request_checkpoint()
        if number is signal.SIGINT:
            print(file=sys.stderr)  # ends the line on which the terminal echoed ^C
            print_status(f"Stopping {self._folder.id}{self._after}; press Ctrl-C again to leave it running.")
        else:
            print_status(
                f"{number.name}: stopping {self._folder.id}{self._after}; a second one leaves it running."
            )

    def _leave(self) -> str:
        """Withdraw a stop that has not started; returns how to come back to the run."""
        run = self._folder.id
        if status_of(self._folder) is Status.QUEUED:
            return f"{run} stays in the queue; follow it with 'workbench watch {run}' or in 'workbench'."
        withdrawn = self._owner and requests.withdraw_requests(self._folder, RequestKind.STOP)
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
