from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.system.cpu_wait import CpuWait

SCHEDSTAT = Path("/proc/thread-self/schedstat")
pytestmark = pytest.mark.skipif(not SCHEDSTAT.exists(), reason="the kernel does not count waits")


@pytest.fixture
def core() -> Iterator[int]:
    """The only core that this thread may use."""
    before = os.sched_getaffinity(0)
    chosen = max(before)
    os.sched_setaffinity(0, {chosen})
    yield chosen
    os.sched_setaffinity(0, before)


def compute(seconds: float) -> float:
    """Use the processor; returns the wall time."""
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        pass
    return time.perf_counter() - start


def test_a_thread_waits_for_a_core_that_another_process_uses(core: int) -> None:
    busy = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        wait = CpuWait()
        wall = compute(0.5)
        waited = wait.seconds()
        other.kill()
    assert 0.25 * wall < waited < wall


def test_a_thread_that_sleeps_does_not_wait() -> None:
    wait = CpuWait()
    time.sleep(0.1)
    assert wait.seconds() < 0.1
