from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import torch
from torch import nn

from tests.gpus import FOREIGN_PID, GB, StubDriver, driver, gpu, uuid
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.engine import autotune as tuning
from workbench.engine import device as device_module
from workbench.engine.autotune import TunedExecution, autotune, candidate_thread_counts, usable_cores
from workbench.engine.batches import Batch
from workbench.engine.device import (
    DeviceChoice,
    configure_determinism,
    pick_device,
    pick_precision,
    pick_training_device,
)
from workbench.engine.task import Classification
from workbench.io.atomic_files import read_json, write_json
from workbench.system import cgroups
from workbench.system import cpu as cores_module

__all__ = ["driver"]

CPU = torch.device("cpu")


def test_the_cpu_is_always_available() -> None:
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cuda:x", ""])
def test_an_unknown_device_lists_the_available_ones(name: str) -> None:
    with pytest.raises(UserError, match="available: cpu"):
        pick_device(name)


class CudaOfTorch:
    """torch's view of some GPUs: its order differs from that of the driver."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *uuids: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(uuids))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
        monkeypatch.setattr(
            torch.cuda,
            "get_device_properties",
            lambda index: SimpleNamespace(uuid=uuids[index].removeprefix("GPU-")),
        )


def test_gpus_are_found_by_uuid(driver: StubDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.write([gpu(0), gpu(1), gpu(2, free=79 * GB)])
    CudaOfTorch(monkeypatch, uuid(2), uuid(0))  # the driver also has one that torch does not see
    assert pick_device("cuda:2") == torch.device("cuda", 0)
    assert pick_device("cuda:0") == pick_device("GPU-0000") == torch.device("cuda", 1)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda", 1)
    driver.write([gpu(0, pids=[FOREIGN_PID]), gpu(1), gpu(2)])
    assert pick_device("auto") == torch.device("cuda", 0)
    with pytest.raises(UserError, match="start it with CUDA_VISIBLE_DEVICES=GPU-1111"):
        pick_device("GPU-1111")
    assert pick_training_device("cuda:1", is_assigned=True).device == torch.device("cuda", 0)
    driver.write(error=12)  # without NVML, torch's numbers count
    assert pick_device("cuda:1") == torch.device("cuda", 1)


def test_a_training_falls_back_to_the_cpu_with_a_reason(
    driver: StubDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    CudaOfTorch(monkeypatch)
    assert pick_training_device("auto") == DeviceChoice(CPU)
    driver.write([gpu(0)])
    monkeypatch.setattr(device_module, "cuda_problem", lambda inventory: "")
    monkeypatch.setattr(torch.cuda, "init", _fail_to_initialize)
    for name in ("auto", "cuda", "cuda:0", "GPU-0000"):
        assert pick_training_device(name) == DeviceChoice(CPU, "Error 802: system not yet initialized")
    assert pick_training_device("cpu") == DeviceChoice(CPU)
    with pytest.raises(UserError, match=r"'cuda:0' is not available: Error 802.*available: cpu"):
        pick_device("cuda:0")


def _fail_to_initialize() -> None:
    raise RuntimeError("Error 802: system not yet initialized")


def test_precision_by_device() -> None:
    assert pick_precision("auto", CPU).name == "fp32"
    with pytest.raises(UserError, match="fp16 needs a GPU"):
        pick_precision("fp16", CPU)
    with pick_precision("bf16", CPU).autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16


def test_automatic_precision_is_that_of_the_run_s_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a host with an older GPU as CUDA's first, which is the current device until another is set."""
    generations = {0: (7, 5), 1: (9, 0)}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device=0: generations[torch.device(device).index]
    )
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=generations[device][0])
    )
    names = [pick_precision("auto", torch.device("cuda", index)).name for index in generations]
    assert names == ["fp32", "bf16"]


def test_thread_counts_are_timed_once_and_cached(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, batch = nn.Linear(8, 3), Batch(torch.randn(16, 8), torch.zeros(16, dtype=torch.int64))
    before = {k: v.clone() for k, v in module.state_dict().items()}
    state, threads = torch.get_rng_state(), torch.get_num_threads()

    def found() -> TunedExecution:
        return autotune(module, Classification(3), TrainingSettings(), batch, "mine", steps=10**9)

    monkeypatch.setattr(tuning, "cores_are_contended", lambda: False)
    chosen = found()
    assert chosen.threads in candidate_thread_counts(usable_cores())
    assert not chosen.channels_last
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    known = read_json(home / "threads.json")
    assert known is not None
    ((key, entry),) = known["tuned"].items()
    assert entry == msgspec.to_builtins(chosen) and chosen.time_limit == 0
    write_json(home / "threads.json", {"v": 1, "tuned": {key: {**entry, "channels_last": True}}})
    assert found() == msgspec.structs.replace(chosen, channels_last=True)
    # A busy host has its own entry; an entry for more cores than this host has is replaced.
    monkeypatch.setattr(tuning, "cores_are_contended", lambda: True)
    assert not found().channels_last
    assert len((read_json(home / "threads.json") or {})["tuned"]) == 2
    monkeypatch.setattr(tuning, "cores_are_contended", lambda: False)
    write_json(home / "threads.json", {"v": 1, "tuned": {key: {**entry, "threads": 1000}}})
    assert found().threads <= usable_cores()


def test_a_cpu_quota_has_its_own_thread_count(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, batch = nn.Linear(8, 3), Batch(torch.randn(16, 8), torch.zeros(16, dtype=torch.int64))
    (tmp_path / "group").mkdir()
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    monkeypatch.setattr(cgroups, "membership", lambda: "0::/group\n")
    monkeypatch.setattr(cores_module, "_affinity_cores", lambda: 4)
    for quota in ("max", "150000", "50000"):
        (tmp_path / "group" / "cpu.max").write_text(f"{quota} 100000\n")
        found = autotune(module, Classification(3), TrainingSettings(), batch, "mine", steps=10**6)
        assert found.threads <= {"max": 4, "150000": 2, "50000": 1}[quota]
    keys = list((read_json(home / "threads.json") or {})["tuned"])
    assert [key.split()[2] for key in keys] == ["4", "4/1.5", "4/0.5"]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        pick_device("cpu")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("seconds", "better"), [((2.0, 1.0), True), ((1.0, 0.95), False), ((1.0, 2.0), False)]
)
def test_channels_last_is_chosen_where_it_is_faster(
    home: Path, seconds: tuple[float, float], better: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    batch = Batch(torch.randn(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64))
    timings = iter([0.5] * (1 + len(candidate_thread_counts(usable_cores()))) + [*seconds] * 2)

    def timed(step: Callable[[], None], threads: int, window: float) -> float:
        step()
        return next(timings)

    monkeypatch.setattr(tuning, "_seconds_per_step", timed)
    assert (
        autotune(module, Classification(2), TrainingSettings(), batch, "mine", steps=10**9).channels_last
        == better
    )
    assert list(timings) == []


def test_channels_last_is_not_timed_for_a_model_that_can_not_compute_it(home: Path) -> None:
    class Viewing(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).view(len(x), -1)

    module, batch = Viewing(3, 4, 3), Batch(torch.randn(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64))
    before = module.weight.detach().clone()
    assert not autotune(
        module, Classification(144), TrainingSettings(), batch, "mine", steps=10**6
    ).channels_last
    assert torch.equal(module.weight, before) and module.weight.is_contiguous() and module.training


SLOW = {1: 30.0, 2: 16.0, 4: 9.0, 8: 5.0}
FAST = {1: 0.0003, 2: 0.0004, 4: 0.0006, 8: 0.002}


@pytest.mark.parametrize("contended", [False, True])
@pytest.mark.parametrize(
    ("step_seconds", "steps", "threads"),
    [(SLOW, 10_000, 8), (SLOW, 100, 8), (SLOW, 10, 8), (FAST, 1_000_000, 1), (FAST, 4_000, 1), (FAST, 400, None),
     (FAST, 399, None), (FAST, 3, None)],
)  # fmt: skip
def test_choosing_threads_takes_a_small_share_of_the_training(
    step_seconds: dict[int, float], steps: int, threads: int | None, *, contended: bool, home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Steps of a simulated duration on 8 cores; the clock moves only while a step runs."""
    module, batch, now, made = nn.Linear(8, 3), Batch(torch.randn(4, 8), torch.zeros(4)), 0.0, 0

    def step() -> None:
        nonlocal now, made
        now, made = now + step_seconds[torch.get_num_threads()], made + 1

    monkeypatch.setattr(tuning, "usable_cores", lambda: 8)
    monkeypatch.setattr(tuning, "cores_are_contended", lambda: contended)
    monkeypatch.setattr(tuning, "_trial_step", lambda *_: step)
    monkeypatch.setattr(time, "perf_counter", lambda: now)

    def found(count: int) -> TunedExecution:
        return autotune(module, Classification(3), TrainingSettings(), batch, "mine", steps=count)

    chosen = found(steps)
    if not contended:
        assert threads in {None, chosen.threads}
        assert now <= 0.05 * steps * step_seconds[chosen.threads], "at most 5 % of the training"
    before = made
    assert found(steps) == chosen and made == before, "the result is remembered"
    found(steps // 2)
    assert made == before, "also for a shorter training"
    if chosen.time_limit:
        found(10**9)
        assert made > before, "a longer training can afford to try more"


@pytest.mark.parametrize(
    ("load", "running", "cores", "expected"),
    [(0.2, 1, 4, False), (2.5, 1, 4, True), (0.0, 4, 4, True), (2.5, 1, 16, False)],
)
def test_cores_are_contended_under_load(
    load: float, running: int, cores: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores_module, "_load", lambda: load)
    monkeypatch.setattr(cores_module, "_running", lambda: running)
    monkeypatch.setattr(cores_module.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(cores_module, "usable_cores", lambda: 4)
    assert cores_module.cores_are_contended() == expected


@pytest.mark.parametrize("exact", [False, True])
def test_cudnn_benchmarks_kernels_unless_deterministic(exact: bool) -> None:
    before = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    try:
        configure_determinism(torch.device("cuda"), exact)
        assert torch.backends.cudnn.benchmark != exact
        assert torch.backends.cudnn.deterministic == exact
        assert torch.get_deterministic_debug_mode() == int(exact)
    finally:
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before[0], False
        torch.set_float32_matmul_precision(before[1])


def test_candidate_thread_counts() -> None:
    assert [candidate_thread_counts(n) for n in (1, 2, 3, 6, 16)] == [
        [1],
        [1, 2],
        [1, 2, 3],
        [1, 2, 4, 6],
        [1, 2, 4, 8, 16],
    ]
