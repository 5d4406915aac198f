"""However often a run is resumed, and from wherever: one process writes it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.worker.kill_many import LIMIT, ended, experiment, finished, trains, wait_until
from tests.worker.support import outcome, same
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.runs import locks
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.records import Exit
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status, status_of
from workbench.system.processes import is_alive, start_ticks

pytestmark = pytest.mark.timeout(900)
ELSEWHERE = Path(__file__).with_name("elsewhere")
LONG = experiment(patience=0, epochs=60)
"""Some seconds of training: both are at work for a while."""


def workbench(*arguments: str, host: str = "here") -> subprocess.Popen[str]:
    """A command of ours, on this host or on another one that sees the same disk."""
    path = os.pathsep.join(filter(None, (str(ELSEWHERE), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path} if host == "elsewhere" else None
    return subprocess.Popen(
        [sys.executable, "-m", "workbench", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended_badly(command: subprocess.Popen[str]) -> str:
    """The one-line error of a command that did nothing."""
    out, message = command.communicate(timeout=60)
    assert (command.returncode, out) == (2, "")
    assert message.count("\n") == 1, message
    return message


def test_of_two_simultaneous_resumes_one_wins(home: Path) -> None:
    folder = launch.start_run(experiment(), "test")
    first = attempts_of(read_journal(folder.journal))[0]
    os.killpg(first.pid, signal.SIGKILL)
    assert ended(folder) is Status.CRASHED
    commands = [workbench("resume", folder.id, "--detach") for _ in range(2)]
    for command in commands:
        command.wait(60)
    won, lost = sorted(commands, key=lambda command: command.returncode)
    message = ended_badly(lost)
    assert won.communicate()[0].strip() == folder.id
    first, second = attempts_of(read_journal(folder.journal))
    assert re.search(rf"process \d+ on {socket.gethostname()}", message)
    os.killpg(second.pid, signal.SIGKILL)
    assert ended(folder) is Status.CRASHED


@pytest.fixture
def run() -> Iterator[RunFolder]:
    """A run of some seconds; what is left of its first attempt in the end is killed."""
    folder = launch.start_run(msgspec.structs.replace(LONG, on_fail="touch failed"), "test")
    old = attempts_of(read_journal(folder.journal))[0]
    yield folder
    if is_alive(old.process):
        os.killpg(old.pid, signal.SIGKILL)


def test_a_run_of_an_unresponsive_host_is_taken_over(run: RunFolder) -> None:
    """The other host sees the disk and none of our locks: a heartbeat is all it goes by."""
    old = attempts_of(read_journal(run.journal))[0]
    assert wait_until(run.manifest.exists, run)
    assert "is running (process" in ended_badly(workbench("resume", run.id, host="elsewhere"))

    worker = locks.holder_pid(run.lock, locks.WRITER)
    os.killpg(old.pid, signal.SIGSTOP)
    stopped = psutil.STATUS_STOPPED
    assert wait_for(lambda: all(psutil.Process(pid).status() == stopped for pid in (old.pid, worker)))
    os.utime(run.heartbeat, (0, 0))
    message = ended_badly(workbench("resume", run.id, host="elsewhere"))
    assert f"may still be running (process {old.pid} on {socket.gethostname()})" in message
    taken = workbench("resume", run.id, "--take-over", "--detach", host="elsewhere")
    assert taken.communicate(timeout=60)[0].strip() == run.id, run.log.read_text()
    assert wait_until(lambda: trains(run, 2), run)

    os.killpg(old.pid, signal.SIGCONT)
    assert wait_for(lambda: not is_alive(old.process) and worker is not None and start_ticks(worker) is None)
    assert wait_for(lambda: (end := read_record(run.exit, Exit)) is not None and end.attempt == 2)
    assert status_of(run) is Status.FINISHED
    assert "attempt 2 took over this run; this worker exits" in run.log.read_text()
    assert same(outcome(run), outcome(finished(launch.start_run(LONG, "test"))))
    assert not (run.path / "failed").exists(), "it has not failed: it went on elsewhere"


def wait_for(seen: Callable[[], bool]) -> bool:
    """Wait for a condition for so long and no longer."""
    limit = time.monotonic() + LIMIT
    while not seen() and time.monotonic() < limit:
        time.sleep(0.01)
    return seen()
