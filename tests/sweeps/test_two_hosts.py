"""Workers of two hosts that share a home: two processes on this machine with other host names, as `unshare` gives them.

Their process ids mean nothing to each other, as on two machines; locks are seen by both, as on a network file system.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_control import until
from tests.sweeps.test_sweep_runs import CHEAP, LR, SMALL, everything_ends, group_of, run_of, worker_of
from workbench.cli.main import run as command
from workbench.runs import locks
from workbench.runs.journal import Attempt, attempts_of, read_journal
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status, status_of
from workbench.sweeps.records import SweepStatus, TrialState
from workbench.sweeps.sweep_folder import SweepFolder, SweepStore, read_sweep

__all__ = ["everything_ends"]

ON_HOST = "import os, socket, sys; socket.sethostname(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"
OLD_SECONDS = 120
LONG = [*SMALL, "--set", "train.epochs=100000", "--pruner", "none"]
"""Epochs that take milliseconds, so that a run ends soon after its number is lowered."""


@pytest.fixture(autouse=True)
def two_names() -> Iterator[None]:
    """Skip where no process can have a host name of its own."""
    missing = (
        not shutil.which("unshare")
        or subprocess.run(["unshare", "--uts", "true"], check=False, capture_output=True).returncode
    )
    if missing:
        assert "CI" not in os.environ, "CI runs as root, and 'unshare --uts' works there"
        pytest.skip("needs 'unshare --uts', and root for it")
    yield


def on_host(name: str, *arguments: str) -> None:
    """A command of workbench on a host with this name."""
    python = [sys.executable, "-m", "workbench", *arguments]
    command = ["unshare", "--uts", sys.executable, "-c", ON_HOST, name, *python]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def attempts(run: RunFolder) -> list[Attempt]:
    return attempts_of(read_journal(run.journal))


def ends_soon(run: RunFolder) -> None:
    """Let a run end: epochs take some milliseconds, and a request is read twice a second."""
    until(lambda: read_report(run).step > 0, "steps")
    assert command(["epochs", run.id, str(read_report(run).epoch + 200)]) == 0


def kill(*pids: int | None) -> None:
    for pid in pids:
        assert pid
        os.kill(pid, signal.SIGKILL)


def start() -> tuple[SweepFolder, int]:
    """A sweep with a worker on each host, and the worker of the first one, which has trial 0."""
    on_host("node-a", "sweep", "digits-mlp", *CHEAP, *LONG, *LR, "--trials", "2", "--detach")
    folder = SweepStore.default().find("last")
    worker = worker_of(folder, 0)
    on_host("node-b", "sweep", "resume", folder.name, "--workers", "1", "--detach")
    worker_of(folder, 1)
    assert [attempts(run_of(folder, number))[0].host for number in range(2)] == ["node-a", "node-b"]
    return folder, worker


def test_each_takes_its_own_trials_and_all_see_both(home: Path) -> None:
    folder, _ = start()
    assert socket.gethostname() not in {"node-a", "node-b"}
    view = read_sweep(folder)
    assert (view.status, view.workers) == (SweepStatus.RUNNING, 2)
    assert [trial.state for trial in view.summary.trials[:2]] == [TrialState.RUNNING] * 2
    assert [status_of(run_of(folder, number)) for number in range(2)] == [Status.RUNNING] * 2
    for number in range(2):
        ends_soon(run_of(folder, number))
    until(lambda: not folder.live_workers(), "end")
    assert read_sweep(folder).status is SweepStatus.FINISHED
    assert len(group_of(folder)) == 2 and all(len(attempts(run)) == 1 for run in group_of(folder))


def test_the_trial_of_a_lost_host_goes_on_with_the_other(home: Path) -> None:
    """The run of a worker that was killed is followed while it lives, and resumed once its host is silent."""
    folder, worker = start()
    lost = run_of(folder, 0)
    until(lambda: read_report(lost).step > 100 and any(lost.checkpoint_files()), "checkpoint")
    kill(worker)
    until(lambda: folder.live_workers() == 1, "death of the worker")
    assert status_of(lost) is Status.RUNNING
    kill(*(locks.holder_pid(lost.lock, byte) for byte in (locks.SUPERVISOR, locks.WRITER)))
    long_ago = lost.heartbeat.stat().st_mtime - OLD_SECONDS
    os.utime(lost.heartbeat, (long_ago, long_ago))  # the minute without a sign of life has passed
    ends_soon(run_of(folder, 1))
    until(lambda: len(attempts(lost)) == 2, "second attempt")
    first, second = attempts(lost)
    assert (first.host, second.host) == ("node-a", "node-b") and second.from_step
    assert read_sweep(folder).summary.trials[1].state is TrialState.FINISHED
    assert [run_of(folder, 0), len(group_of(folder))] == [lost, 2]
