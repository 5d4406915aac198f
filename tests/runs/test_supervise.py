"""What a supervisor does with signals that come early."""

from __future__ import annotations

import os
import signal

from workbench.console import wait_for_end
from workbench.experiment import build
from workbench.runs import launch, locks
from workbench.runs.report import describe


def test_a_signal_before_the_worker_listens_is_not_lost() -> None:
    run = launch.start(build("digits-mlp", sets=["train.epochs=100000"]), "test")
    supervisor = locks.holder_of(run.lock, locks.SUPERVISOR)
    assert supervisor
    os.kill(supervisor, signal.SIGTERM)
    wait_for_end(run)
    document = describe(run)
    assert (document["status"], document["reason"]) == ("stopped", "stopped by SIGTERM")
