from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch
from torch import nn

from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.engine import autotune as tuning
from workbench.engine.autotune import TunedExecution, autotune, candidate_thread_counts, usable_cores
from workbench.engine.batches import Batch
from workbench.engine.device import configure_determinism, pick_device, pick_precision
from workbench.engine.task import Classification
from workbench.io.atomic_files import read_json, write_json
from workbench.system import cpu as cores_module

CPU = torch.device("cpu")


def test_the_cpu_is_always_available() -> None:
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cuda:x", ""])
def test_an_unknown_device_lists_the_available_ones(name: str) -> None:
    with pytest.raises(UserError, match="available: cpu"):
        pick_device(name)


def test_precision_by_device() -> None:
    assert pick_precision("auto", CPU).name == "fp32"
    with pytest.raises(UserError, match="fp16 needs a GPU"):
        pick_precision("fp16", CPU)
    with pick_precision("bf16", CPU).autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16


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
    assert found() == replace(chosen, channels_last=True)
    # A busy host has its own entry; an entry for more cores than this host has is replaced.
    monkeypatch.setattr(tuning, "cores_are_contended", lambda: True)
    assert not found().channels_last
    assert len((read_json(home / "threads.json") or {})["tuned"]) == 2
    monkeypatch.setattr(tuning, "cores_are_contended", lambda: False)
    write_json(home / "threads.json", {"v": 1, "tuned": {key: {**entry, "threads": 1000}}})
    assert found().threads <= usable_cores()


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
