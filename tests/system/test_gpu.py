from __future__ import annotations

import pynvml
import pytest

from workbench.system.gpu import Gpu, choose_gpu, list_gpus


def gpu(index: int, free: int = 10, load: float | None = 0.0, processes: int = 0) -> Gpu:
    return Gpu(index, f"GPU-{index}", "H", 80, free, load, processes)


def test_a_missing_driver_is_not_an_error() -> None:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        assert list_gpus() == []
        assert choose_gpu() is None
    else:
        pytest.skip("an NVIDIA driver is installed")


def test_an_idle_gpu_is_preferred_to_one_with_more_memory() -> None:
    chosen = choose_gpu(
        [gpu(0, free=79, load=0.97, processes=1), gpu(1, free=40), gpu(2, free=79, processes=1)]
    )
    assert chosen == gpu(1, free=40)


def test_among_idle_ones_the_most_free_memory_decides() -> None:
    assert choose_gpu([gpu(0, free=40, load=0.02), gpu(1, free=70), gpu(2, free=70)]) == gpu(1, free=70)


def test_among_busy_ones_the_load_decides() -> None:
    busy = [gpu(0, free=70, load=0.9, processes=2), gpu(1, free=10, load=0.3, processes=1)]
    assert choose_gpu(busy) == busy[1]


def test_an_unknown_load_counts_as_idle() -> None:
    assert gpu(0, load=None).idle
    assert choose_gpu([]) is None
