"""What a supervisor does with signals that come early."""

from __future__ import annotations

import os
import signal
import subprocess

from workbench.console import wait_for_end
from workbench.experiment import build
from workbench.runs import launch, locks
from workbench.runs.report import describe
from workbench.runs.supervise import WORKERS, Signals


def test_a_signal_before_the_worker_listens_is_not_lost() -> None:
    run = launch.start(build("digits-mlp", sets=["train.epochs=100000"]), "test")
    supervisor = locks.holder_of(run.lock, locks.SUPERVISOR)
    assert supervisor
    os.kill(supervisor, signal.SIGTERM)
    wait_for_end(run)
    document = describe(run)
    assert (document["status"], document["reason"]) == ("stopped", "stopped by SIGTERM")


def test_a_signal_that_a_worker_may_not_see_any_more_is_remembered() -> None:
    handlers = {number: signal.getsignal(number) for number in WORKERS}
    try:
        signals = Signals()
        with subprocess.Popen(["sleep", "100"]) as worker:
            signals.meant_for(worker)
            os.kill(os.getpid(), signal.SIGTERM)
        assert worker.returncode == -signal.SIGTERM
        assert signals.reason == "stopped by SIGTERM"
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
