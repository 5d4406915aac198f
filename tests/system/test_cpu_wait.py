from __future__ import annotations

import time

from tests.busy_core import busy_core, counts_waits
from workbench.system.cpu_wait import CpuWait

__all__ = ["busy_core"]


@counts_waits
def test_a_thread_waits_for_a_core_that_another_process_uses(busy_core: None) -> None:
    start, wait = time.perf_counter(), CpuWait()
    while time.perf_counter() - start < 0.5:
        pass
    waited, wall = wait.seconds(), time.perf_counter() - start
    assert 0.25 * wall < waited < wall


def test_a_thread_that_sleeps_does_not_wait() -> None:
    wait = CpuWait()
    time.sleep(0.1)
    assert wait.seconds() < 0.1
