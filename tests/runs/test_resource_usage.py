from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpus import GB, gpu, install, uuid
from workbench.runs.metric_series import machine_values
from workbench.runs.resource_usage import UsageSampler


def test_the_gpus_of_a_run_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = install(tmp_path, monkeypatch)
    driver.write([gpu(0), gpu(1, load=50, free=60 * GB, temperature=66, power=300_000)])
    own = machine_values(UsageSampler(os.getpid(), uuid(1)).sample(1, step=7))
    assert {name: value for name, value in own.items() if "gpu" in name} == {
        "machine/gpu1/load": 0.5, "machine/gpu1/memory": 20 * GB, "machine/gpu1/power": 300,
        "machine/gpu1/temperature": 66,
    }  # fmt: skip
    every = UsageSampler(os.getpid(), None, all_gpus=True).sample(1)
    assert [sample.index for sample in every.gpus] == [0, 1] and every.gpu_load is None
    assert UsageSampler(os.getpid(), None).sample(1).gpus == ()


def test_the_processes_that_a_worker_starts_are_part_of_it() -> None:
    usage = UsageSampler(os.getpid(), None)
    before = usage.sample(1)
    busy = "x = bytearray(200_000_000); print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        during = usage.sample(1)
        child.communicate("\n")
    assert before.rss is not None and during.rss is not None and during.rss - before.rss > 150_000_000


def test_a_process_that_has_ended_uses_no_known_memory() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        usage = UsageSampler(ended.pid, None)
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie until it is waited for
        assert usage.sample(1).rss is None
