"""The screen and the commands on machines with GPUs, by a stub of the driver that changes while they run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.end_to_end.terminal import Terminal
from tests.gpus import FOREIGN_PID, GB, StubDriver, driver, gpu, mig_slice, uuid

__all__ = ["driver"]


def workbench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workbench", *arguments], capture_output=True, text=True, check=False
    )


def listed() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(workbench("devices", "--json").stdout)
    return rows


def test_the_machine_pane_follows_a_driver_that_hangs_answers_and_changes(driver: StubDriver) -> None:
    driver.write([gpu(0)], hang=10)
    with Terminal(120, 60) as screen:
        screen.wait_for("digits-mlp")
        began = time.monotonic()
        screen.press("7").wait_for("the NVIDIA driver does not respond", seconds=8)
        screen.press("2", "enter").wait_for("▸ recipe", seconds=8)
        screen.press("esc", "7").wait_for("training device", seconds=8)
        assert time.monotonic() - began < 10  # all of it while the driver hangs
        driver.write(
            [gpu(0, pids=[FOREIGN_PID], load=97), gpu(1, temperature=None, power=None), gpu(2), gpu(3)]
        )
        screen.wait_for("cuda:3", seconds=40)
        assert "cuda:0    NVIDIA H100, 41 °C, 70 W, 1 process" in screen.text
        assert (
            re.search(r"cuda:1    NVIDIA H100 +│", screen.text) and "79.0 GB free of 80.0 GB" in screen.text
        )
        assert "✗ runs train on the CPU, although there is an NVIDIA GPU: " in screen.text
        driver.write([gpu(0, free=3 * GB), gpu(1, slices=[mig_slice(1)])])
        screen.wait_for("3.0 GB free of 80.0 GB", seconds=20).wait_for("MIG-11111111 NVIDIA H100 MIG 1g.10gb")
        assert "cuda:1" not in screen.text


@pytest.mark.parametrize("count", [1, 4, 8])
def test_the_commands_on_machines_with_several_gpus(count: int, driver: StubDriver) -> None:
    driver.write([gpu(0, pids=[FOREIGN_PID]), *(gpu(number) for number in range(1, count))])
    rows = listed()
    assert [row["device"] for row in rows] == [*(f"cuda:{number}" for number in range(count)), "cpu"]
    assert [row["uuid"] for row in rows[:-1]] == [uuid(number) for number in range(count)]
    assert [row["processes"] for row in rows[:-1]] == [1, *([0] * (count - 1))]
    (used,) = [row for row in rows if row["chosen"]]
    expected = f"torch can't use cuda:{min(1, count - 1)}"  # not the busy one, where there is another
    assert (used["device"], used["why"]) == ("cpu", expected)


def test_doctor_and_devices_show_hidden_gpus_and_why(
    driver: StubDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.write([gpu(0), gpu(1, slices=[mig_slice(1), mig_slice(2)]), gpu(2)])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-2222")
    rows = listed()
    assert [(row["device"], row["hidden"]) for row in rows] == [
        ("GPU-00000000", True), ("MIG-11111111", True), ("cuda:0", False), ("GPU-22222222", True), ("cpu", False),
    ]  # fmt: skip
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,-1,0")
    output = workbench("doctor").stdout
    assert "CUDA_VISIBLE_DEVICES=2,-1,0: cuda:0 is GPU 2; CUDA's list ends at '-1'" in output
    assert "✗ runs train on the CPU, although there is an NVIDIA GPU: " in output
    devices = workbench("devices")
    assert "  hidden" in devices.stdout and "list ends at '-1'" in devices.stderr


def test_a_driver_that_fails_or_hangs_is_a_problem_of_doctor(driver: StubDriver) -> None:
    driver.write([gpu(0)], error=18)
    failing = workbench("doctor", "--json")
    assert failing.returncode == 1
    assert any(
        "RM has detected an NVML/RM version mismatch" in line
        for line in json.loads(failing.stdout)["problems"]
    )
    driver.write([gpu(0)], hang=60)
    began = time.monotonic()
    hanging = workbench("doctor", "--json")
    assert time.monotonic() - began < 30  # it does not wait for the driver's answer
    assert any("does not respond within 1.5 s" in line for line in json.loads(hanging.stdout)["problems"])
