"""What a supervisor does with signals that come early."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.cli.test_control import until
from workbench.cli.follow import wait_for_end
from workbench.config.experiment import build
from workbench.io.atomic_files import write_json
from workbench.launcher import launch
from workbench.launcher import supervisor as supervise
from workbench.launcher.supervisor import WORKERS, Signals
from workbench.runs import locks
from workbench.runs.enums import Cause
from workbench.runs.journal import Journal
from workbench.runs.requests import stopped_by
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import report_of
from workbench.runs.status import Status


def test_a_signal_before_the_worker_listens_is_not_lost() -> None:
    run = launch.start(build("digits-mlp", sets=["train.epochs=100000"]), "test")
    supervisor = locks.holder_of(run.lock, locks.SUPERVISOR)
    assert supervisor
    os.kill(supervisor, signal.SIGTERM)
    wait_for_end(run)
    report = report_of(run)
    assert (report.status, report.cause) == (Status.STOPPED, Cause.SIGNAL)
    assert report.reason == "stopped by SIGTERM"


def test_a_signal_that_a_worker_may_not_see_any_more_is_remembered() -> None:
    handlers = {number: signal.getsignal(number) for number in WORKERS}
    try:
        signals = Signals()
        with subprocess.Popen(["sleep", "100"]) as worker:
            signals.meant_for(worker)
            os.kill(os.getpid(), signal.SIGTERM)
        assert worker.returncode == -signal.SIGTERM
        assert signals.reason == stopped_by(signal.SIGTERM)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.mark.filterwarnings("ignore:subprocess:ResourceWarning")  # a supervisor ends and leaves it behind
def test_the_command_runs_though_the_disk_does_not_take_the_end(folder: RunFolder) -> None:
    experiment = build("digits-mlp", sets=["on_fail=touch told-$WORKBENCH_STATUS"])
    write_json(folder.experiment, experiment.to_dict())
    folder.exit.mkdir()
    journal = Journal(folder.journal)
    journal.close()
    supervise._close_attempt(folder, journal, 1, -signal.SIGKILL, None)
    supervise._run_command(folder, 1)
    until((folder.path / "told-failed").exists, "word of the command")
