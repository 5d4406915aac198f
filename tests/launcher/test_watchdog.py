"""A suspended run (SIGSTOP, `scontrol suspend`, a closed lid) is not stalled: real processes that are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.test_control import until
from workbench.io.record_codec import read_record
from workbench.launcher.watchdog import StallDetector
from workbench.runs.enums import Phase
from workbench.runs.records import Heartbeat
from workbench.runs.run_folder import RunFolder
from workbench.system.processes import is_suspended

WORKER = """
import os, signal, sys, time
from pathlib import Path
from workbench.runs.enums import Phase
from workbench.runs.records import Heartbeat
from workbench.runs.run_folder import RunFolder, write_heartbeat

hanging = []
signal.signal(signal.SIGUSR1, lambda *_: hanging.append(True))
step, parent = 0, os.getppid()
while os.getppid() == parent:
    step += not hanging
    write_heartbeat(RunFolder(Path(sys.argv[1])), Heartbeat(attempt=1, phase=Phase.TRAINING, step=step))
    time.sleep(0.05)
"""
SUPERVISOR = """
import subprocess, sys
from pathlib import Path
from workbench.launcher.watchdog import WorkerMonitor
from workbench.runs.journal import Journal
from workbench.runs.run_folder import RunFolder

folder = RunFolder(Path(sys.argv[1]))
worker = subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]])
monitor = WorkerMonitor(folder, Journal(folder.journal), 1, 1.0, lambda: print("stalled", flush=True))
monitor.start(worker.pid, None)
print(worker.pid, flush=True)
worker.wait()
"""


def step_of(folder: RunFolder) -> int:
    beat = read_record(folder.heartbeat, Heartbeat)
    return beat.step if beat else 0


def test_suspended_processes_are_not_stalled(folder: RunFolder) -> None:
    command = [sys.executable, "-c", SUPERVISOR, str(folder.path), WORKER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as supervisor:
        assert supervisor.stdout is not None
        worker = int(supervisor.stdout.readline())
        try:
            for stopped in ([worker], [supervisor.pid], [worker, supervisor.pid], [supervisor.pid, worker]):
                step = step_of(folder)
                until(lambda step=step: step_of(folder) > step + 3, "steps")
                for pid in stopped:
                    os.kill(pid, signal.SIGSTOP)
                until(lambda stopped=stopped: all(is_suspended(pid) for pid in stopped), "stopped processes")
                until_time = time.monotonic() + 2.5  # more than twice the time of a stall
                until(lambda until_time=until_time: time.monotonic() > until_time, "end of the suspension")
                for pid in reversed(stopped):
                    os.kill(pid, signal.SIGCONT)
            os.kill(worker, signal.SIGUSR1)
            assert supervisor.stdout.readline() == "stalled\n", "a worker that hangs is reported"
        finally:
            os.killpg(supervisor.pid, signal.SIGKILL)
        assert supervisor.stdout.read() == "", "reported once: no earlier suspension was"


def detect(*gaps: tuple[float, bool], seconds: float = 10) -> list[bool]:
    """What a detector says after each of these gaps in seconds; the worker is suspended where the flag is set."""
    detector, now, found = StallDetector(seconds, now=0, interval=2), 0.0, []
    for gap, suspended in gaps:
        now += gap
        found.append(
            detector.update(Heartbeat(attempt=1, phase=Phase.TRAINING, step=5), now, suspended=suspended)
        )
    return found


@pytest.mark.parametrize("interruption", [(3600.0, False), (2.0, True), (3600.0, True)])
def test_the_time_of_a_stall_is_counted_anew_after_a_suspension(interruption: tuple[float, bool]) -> None:
    watched = [(2.0, False)] * 5
    assert detect((0, False), *watched) == [False] * 5 + [True]
    assert detect((0, False), *watched[:4], interruption, *watched) == [False] * 10 + [True]
    assert not any(detect((0, False), *[interruption] * 20))
