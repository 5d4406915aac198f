from __future__ import annotations

import time

import psutil

from workbench.system.processes import process_age


def test_the_age_of_this_process() -> None:
    assert abs(process_age() - (time.time() - psutil.Process().create_time())) < 5
    assert process_age() > 0
