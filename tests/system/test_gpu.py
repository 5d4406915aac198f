"""Names, choice and state of GPUs, and how long a driver may take."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gpus import FOREIGN_PID, GB, StubDriver, driver, gpu, mig_slice, uuid
from workbench.core.errors import UserError
from workbench.system import devices
from workbench.system.device_claims import DeviceClaim
from workbench.system.gpu import GpuInventory, choose_gpu, list_gpus, read_inventory
from workbench.system.nvml import TIME_LIMIT, DriverState, driver_is_silent, query_driver
from workbench.system.processes import this_process

__all__ = ["driver"]


def claim(number: int) -> DeviceClaim:
    return DeviceClaim(device=uuid(number), run="a", process=this_process())


def chosen(*runs: int) -> str | None:
    """The UUID of the GPU for a new run, while runs hold the GPUs with these numbers."""
    claims: dict[str, list[DeviceClaim]] = {}
    for number in runs:
        claims.setdefault(uuid(number), []).append(claim(number))
    picked = choose_gpu(read_inventory().usable, claims)
    return None if picked is None else picked.uuid


@pytest.mark.parametrize("number", [6, 9, 12])
def test_a_missing_driver_is_not_an_error(driver: StubDriver, number: int) -> None:
    driver.write(error=number)
    assert query_driver().state is DriverState.MISSING
    assert list_gpus() == [] and chosen() is None
    assert devices.gpu_problems() == []


def test_a_failing_driver_is_a_problem_with_its_reason(driver: StubDriver) -> None:
    driver.write([gpu(0)], error=18)
    assert list_gpus() == []
    (problem,) = devices.gpu_problems()
    assert "NVML/RM version mismatch" in problem and "restart" in problem
    with pytest.raises(UserError, match="version mismatch"):
        devices.find_gpu("cuda:0", read_inventory())
    assert "version mismatch" in devices.training_device().warning


def test_a_driver_that_hangs_does_not_block(driver: StubDriver) -> None:
    driver.write([gpu(0)], hang=10)
    start = time.monotonic()
    assert query_driver().state is DriverState.SILENT
    assert TIME_LIMIT <= time.monotonic() - start < 2
    assert driver_is_silent()
    start = time.monotonic()
    assert "does not respond" in devices.training_device().warning
    assert devices.gpu_problems() and devices.list_devices()[-1].chosen
    assert time.monotonic() - start < 0.5  # the query that hangs is not waited for again


def test_a_lost_gpu_is_named_and_the_others_stay(driver: StubDriver) -> None:
    driver.write([gpu(0), gpu(1, lost=True), gpu(2)])
    report = query_driver()
    assert [one.index for one in report.gpus] == [0, 2]
    assert report.problem == "GPU 1 in PCI order fails: GPU is lost"


def test_missing_temperature_power_and_load_are_unknown(driver: StubDriver) -> None:
    driver.write([gpu(0, temperature=None, power=None, load=None), gpu(1, free=30 * GB, load=42)])
    first, second = list_gpus()
    assert (first.temperature, first.power, first.load) == (None, None, None)
    assert (second.temperature, second.power, second.load) == (41, 70.0, 0.42)
    driver.write([gpu(0), gpu(1, free=29 * GB)])
    assert list_gpus()[1].memory_free == 29 * GB


def test_an_idle_gpu_that_no_run_holds_comes_first(driver: StubDriver) -> None:
    driver.write([gpu(0), gpu(1), gpu(2, free=50 * GB)])
    assert [chosen(), chosen(0), chosen(0, 1)] == [uuid(0), uuid(1), uuid(2)]
    assert chosen(0, 1, 2) == uuid(0)
    driver.write([gpu(0, free=10 * GB), gpu(1, free=20 * GB)])
    assert chosen(0, 1) == uuid(1)  # the least loaded by memory


@pytest.mark.parametrize("busy", [{"pids": [FOREIGN_PID]}, {"pids": [os.getppid()]}, {"load": 35}])
def test_gpus_on_which_other_processes_compute_are_avoided(
    driver: StubDriver, busy: dict[str, object]
) -> None:
    driver.write([gpu(0, **busy), gpu(1, free=5 * GB)])
    assert chosen() == uuid(1)
    assert chosen(1, 1) == uuid(1)  # even where runs of one's own share the other one
    driver.write([gpu(0, **busy), gpu(1, free=5 * GB, **busy)])
    assert chosen() == uuid(0)


def test_the_processes_of_a_run_are_not_foreign_to_it(driver: StubDriver) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        driver.write([gpu(0, pids=[child.pid], load=90), gpu(1, pids=[child.pid, os.getppid()])])
        inventory = read_inventory()
        held = {uuid(0): [claim(0)], uuid(1): [claim(1)]}
        inventory = GpuInventory(inventory.driver, inventory.visible, held)
        assert [inventory.state(one) for one in inventory.usable] == ["1 run", "1 run and other processes"]


def test_every_gpu_can_be_typed_as_it_is_shown(driver: StubDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.write([gpu(0), gpu(1, slices=[mig_slice(1), mig_slice(2)]), gpu(2)])
    inventory = read_inventory()
    assert inventory.names() == ["cuda:0", "cuda:1", "MIG-11111111", "MIG-22222222"]
    assert [inventory.find(name) for name in inventory.names()] == list(inventory.usable)
    assert inventory.find(uuid(2)) == inventory.find("cuda:1") == inventory.find("GPU-2222")
    for name, message in (
        (
            "cuda:2",
            "no device cuda:2 on this host; available: cuda:0, cuda:1, MIG-11111111, MIG-22222222, cpu",
        ),
        ("GPU-9", "no device GPU-9"),
        ("GPU-", "names 3 GPUs"),
        (uuid(1), "is in MIG mode: choose one of its slices: MIG-11111111, MIG-22222222"),
    ):
        with pytest.raises(UserError, match=message):
            inventory.find(name)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    inventory = read_inventory()
    assert [one.uuid for one in inventory.usable] == [uuid(2), uuid(0)]
    assert inventory.find("cuda:0").uuid == uuid(2)
    with pytest.raises(
        UserError, match="MIG-11111111 is hidden by CUDA_VISIBLE_DEVICES=2,0: available: cuda:0, cuda:1, cpu"
    ):
        inventory.find("MIG-11111111")


def test_cuda_finds_gpus_of_which_nvml_knows_nothing(
    driver: StubDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.write(error=12)
    inventory = read_inventory()
    with pytest.raises(UserError, match=r"no device cuda on this host; available: cpu \(or auto\)"):
        devices.find_gpu("cuda", inventory)
    monkeypatch.setattr(devices, "may_have_other_gpu", lambda: True)  # a Tegra, or an AMD GPU
    assert devices.find_gpu("cuda:0", inventory) is None


def test_torch_without_a_usable_cuda_is_a_loud_problem(
    driver: StubDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.write([gpu(0), gpu(1)], cuda=12080)
    monkeypatch.setattr(devices, "cuda_of_torch", lambda: None)
    assert "has no CUDA: pip install" in devices.gpu_problems()[0]
    monkeypatch.setattr(devices, "cuda_of_torch", lambda: "13.0")
    monkeypatch.setattr(devices, "has_cuda_library", lambda: False)
    assert "libcuda.so.1 can't be loaded" in devices.gpu_problems()[0]
    monkeypatch.setattr(devices, "has_cuda_library", lambda: True)
    assert "built for CUDA 13.0, but the NVIDIA driver supports up to 12.8" in devices.gpu_problems()[0]
    for name in ("auto", "cuda", "cuda:1", uuid(0)):
        device = devices.training_device(name)
        assert device.device == "cpu" and "torch can't use cuda:" in device.reason
        assert (
            "trains on the CPU, because torch can't use the 2 GPUs of the NVIDIA driver: torch is"
            in device.warning
        )
    monkeypatch.setattr(devices, "cuda_of_torch", lambda: "12.8")
    assert devices.gpu_problems() == devices.device_warnings("auto") == []
    assert devices.training_device("cuda:1").device == "cuda:1"


def test_hidden_gpus_are_not_used_and_the_reason_is_shown(
    driver: StubDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.write([gpu(0), gpu(1)])
    monkeypatch.setattr(devices, "cuda_of_torch", lambda: "12.8")
    monkeypatch.setattr(devices, "has_cuda_library", lambda: True)
    for value in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert devices.training_device() == devices.TrainingDevice(
            "cpu", "CUDA_VISIBLE_DEVICES hides all GPUs"
        )
        assert all(row.hidden for row in devices.list_devices()[:-1])
    for value in ("7", "-1,0"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        (warning,) = devices.device_warnings("auto")
        assert f"CUDA_VISIBLE_DEVICES={value}: CUDA's list ends at '{value.split(',')[0]}'" in warning
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,5")
    inventory = read_inventory()
    assert devices.training_device() == devices.TrainingDevice("cuda:0", "the only GPU, idle")
    assert devices.describe_visibility(inventory).startswith(
        "CUDA_VISIBLE_DEVICES=1,5: cuda:0 is GPU 1; CUDA's list ends"
    )
    rows = devices.list_devices(inventory)
    assert [(row.device, row.hidden) for row in rows[:2]] == [("GPU-00000000", True), ("cuda:0", False)]


def test_a_real_process_is_done_within_two_seconds_of_a_hanging_driver(
    driver: StubDriver, home: Path
) -> None:
    driver.write([gpu(0)], hang=10)
    code = (
        "import time; from workbench.system import machine_info as m; start = time.monotonic(); m.describe_machine();"
        "m.find_problems(); print(time.monotonic() - start)"
    )
    start = time.monotonic()
    seconds = float(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert 1 < seconds < 2
    assert time.monotonic() - start < 9  # the process does not wait for the driver at its end
