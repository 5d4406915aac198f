from __future__ import annotations

import time

import psutil

from workbench.system.processes import age


def test_a_process_knows_how_long_it_lives() -> None:
    assert abs(age() - (time.time() - psutil.Process().create_time())) < 5
    assert age() > 0
