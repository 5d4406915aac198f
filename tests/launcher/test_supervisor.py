"""Signals to a supervisor, and its hooks on a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import pytest

from tests.cli.test_control import until
from tests.run_folders import attempt
from workbench.cli.follow import wait_for_end
from workbench.config.experiment import build_experiment
from workbench.io.atomic_files import write_json
from workbench.launcher import launch
from workbench.launcher import supervisor as supervisor_module
from workbench.launcher.supervisor import FORWARDED_SIGNALS, SignalForwarder
from workbench.launcher.supervisor_settings import SupervisorSettings, read_settings
from workbench.runs import locks
from workbench.runs.enums import Cause
from workbench.runs.journal import Journal
from workbench.runs.requests import signal_stop_reason
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status


def test_a_signal_before_the_worker_listens_is_not_lost() -> None:
    run = launch.start_run(build_experiment("digits-mlp", sets=["train.epochs=100000"]), "test")
    supervisor = locks.holder_pid(run.lock, locks.SUPERVISOR)
    assert supervisor
    os.kill(supervisor, signal.SIGTERM)
    wait_for_end(run)
    report = read_report(run)
    assert (report.status, report.cause) == (Status.STOPPED, Cause.SIGNAL)
    assert report.reason == "stopped by SIGTERM"


def test_a_signal_that_a_worker_may_not_see_any_more_is_remembered() -> None:
    handlers = {number: signal.getsignal(number) for number in FORWARDED_SIGNALS}
    try:
        signals = SignalForwarder()
        with subprocess.Popen(["sleep", "100"]) as worker:
            signals.attach(worker)
            os.kill(os.getpid(), signal.SIGTERM)
        assert worker.returncode == -signal.SIGTERM
        assert signals.reason == signal_stop_reason(signal.SIGTERM)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.mark.filterwarnings("ignore:subprocess:ResourceWarning")  # a supervisor ends and leaves it behind
def test_the_command_runs_although_the_end_can_not_be_recorded(folder: RunFolder) -> None:
    experiment = build_experiment("digits-mlp", sets=["on_fail=touch status-$WORKBENCH_STATUS"])
    write_json(folder.experiment, experiment.to_dict())
    folder.exit.mkdir()
    journal = Journal(folder.journal)
    journal.close()
    supervisor_module._close_attempt(folder, journal, 1, -signal.SIGKILL, None)
    supervisor_module._run_end_hook(folder, 1)
    until((folder.path / "status-failed").exists, "output of the command")


@pytest.mark.parametrize("damage", [{"data": 7}, {"model": None}, {"data": {}, "model": {"name": 3}}])
def test_a_supervisor_reads_its_settings_of_a_damaged_experiment(
    damage: dict[str, Any], folder: RunFolder
) -> None:
    sets = ["on_fail=echo no", "on_finish=echo yes", "stall_seconds=5", "train.device=cpu"]
    write_json(folder.experiment, {**build_experiment("digits-mlp", sets=sets).to_dict(), **damage})
    assert supervisor_module._command(folder, "on_fail") == "echo no"
    assert supervisor_module._command(folder, "on_finish") == "echo yes"
    assert read_settings(folder).stall_seconds == 5
    attempt(folder, 2, overrides={"stall_seconds": 9, "data.validation": 0.1, "train.device": "cuda:1"})
    settings = read_settings(folder, {"on_fail": "echo changed"})
    assert (settings.stall_seconds, settings.train.device) == (9, "cuda:1")
    assert (settings.on_fail, settings.on_finish) == ("echo changed", "echo yes")


@pytest.mark.parametrize("content", ["", "[]", '{"train": 3, "on_fail": [], "stall_seconds": -1}'])
def test_a_supervisor_has_default_settings_without_an_experiment(content: str, folder: RunFolder) -> None:
    folder.experiment.write_text(content)
    assert read_settings(folder) == SupervisorSettings()
