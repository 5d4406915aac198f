"""The fastest number of CPU threads and memory format of images: timed once per host, model and batch, then cached."""

from __future__ import annotations

import copy
import hashlib
import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from workbench.config.training_settings import TrainingSettings
from workbench.core import paths
from workbench.engine.batches import Batch
from workbench.engine.optimizer import make_optimizer
from workbench.engine.task import Task
from workbench.engine.torch_compat import unwrapped_step
from workbench.io.atomic_files import read_json, write_json
from workbench.models.factory import supports_channels_last
from workbench.system.cpu import core_budget, cores_are_contended, usable_cores
from workbench.system.host import host_name

TIMING_SECONDS = 0.1
"""How long one candidate is timed, after one warm-up step."""
MAX_TIME_RATIO = 0.8
"""More threads are chosen only where they need less than this share of the time: with other processes on the same
cores, they lose more than they gained."""
STOP_TIME_RATIO = 1.5
"""The search ends once more threads take this many times as long as the best count so far."""
SLOW_STEP_SECONDS = 1.0
"""The memory format is not timed where a step takes at least this many seconds."""
MAX_LAYOUT_TIME_RATIO = 0.9
"""`channels_last` is chosen only where it needs less than this share of the time."""


@dataclass(frozen=True)
class TunedExecution:
    """The fastest way found to run steps; `channels_last`: memory format of images and convolution weights."""

    threads: int
    channels_last: bool = False


def autotune(
    module: nn.Module, task: Task, train: TrainingSettings, batch: Batch, model: str
) -> TunedExecution:
    """The cached result for this host, model and batch shape, or else that of a short timing.

    A busy host has its own cache entry: two threads that compete for their cores can be many times slower than one.
    Real steps are timed on a copy of `module`; random states and the thread count are unchanged.
    """
    key = _cache_key(model, module, batch)
    path = paths.home() / "threads.json"
    known = read_json(path) or {"v": 1}
    if (cached := _cached(known.get("tuned"), key)) is not None:
        return cached
    fastest = _find_fastest(module, task, train, batch)
    known["tuned"] = {**(known.get("tuned") or {}), key: asdict(fastest)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, known)
    return fastest


def _cached(entries: Any, key: str) -> TunedExecution | None:
    try:
        cached = TunedExecution(**entries[key])
        return cached if 1 <= cached.threads <= usable_cores() else None
    except (KeyError, TypeError):
        return None


def _cache_key(model: str, module: nn.Module, batch: Batch) -> str:
    """A short key of everything the timing depends on, the same in every process."""
    shapes = [tuple(p.shape) for p in module.parameters()]
    described = f"{model} {shapes} {tuple(batch.inputs.shape)} {batch.inputs.dtype} {torch.__version__}"
    digest = hashlib.sha256(described.encode()).hexdigest()[:16]
    load = "busy" if cores_are_contended() else "quiet"
    return f"{host_name()} {platform.machine()} {core_budget()} {load} {digest}"


def _find_fastest(module: nn.Module, task: Task, train: TrainingSettings, batch: Batch) -> TunedExecution:
    previous_threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            step = _trial_step(module, task, train, batch)
            best, best_seconds = 1, math.inf
            for count in candidate_thread_counts(usable_cores()):
                seconds = _seconds_per_step(step, count)
                if seconds < MAX_TIME_RATIO * best_seconds:
                    best, best_seconds = count, seconds
                elif seconds > STOP_TIME_RATIO * best_seconds:
                    break
            # Timing the memory format takes four more steps, too long where a step is slow.
            time_layout = best_seconds < SLOW_STEP_SECONDS
            return TunedExecution(
                best, time_layout and _channels_last_is_faster(module, task, train, batch, best)
            )
    finally:
        torch.set_num_threads(previous_threads)


def _channels_last_is_faster(
    module: nn.Module, task: Task, train: TrainingSettings, batch: Batch, threads: int
) -> bool:
    """Whether convolutions are faster in the `channels_last` memory format; both formats are timed alternately."""
    has_convolutions = any(isinstance(part, nn.Conv2d) for part in module.modules())
    if not has_convolutions or not supports_channels_last(module, batch.inputs[:2]):
        return False
    images = batch.inputs.contiguous(memory_format=torch.channels_last)
    steps = (
        _trial_step(module, task, train, batch),
        _trial_step(
            module, task, train, Batch(images, batch.targets, batch.soft_targets), torch.channels_last
        ),
    )
    rounds = [[_seconds_per_step(step, threads) for step in steps] for _ in range(2)]
    contiguous, channels_last = (min(column) for column in zip(*rounds, strict=True))
    return bool(channels_last < MAX_LAYOUT_TIME_RATIO * contiguous)


def candidate_thread_counts(cores: int) -> list[int]:
    """The powers of two below `cores`, and `cores`."""
    powers = [1 << k for k in range(cores.bit_length()) if 1 << k < cores]
    return [*powers, cores]


def _trial_step(
    module: nn.Module,
    task: Task,
    train: TrainingSettings,
    batch: Batch,
    layout: torch.memory_format = torch.preserve_format,
) -> Callable[[], None]:
    """A function that makes one training step on a copy of `module`."""
    copied = copy.deepcopy(module).train().to(memory_format=layout)
    update = unwrapped_step(make_optimizer(copied, train, batch.inputs.device))
    parameters = list(copied.parameters())

    def step() -> None:
        loss = task.loss(copied(batch.inputs), batch.loss_targets)
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        update()

    return step


def _seconds_per_step(step: Callable[[], None], threads: int) -> float:
    """Mean seconds per step with this number of threads; the mean, unlike the minimum, shows contention for cores.

    The first step warms up; where it takes longer than `TIMING_SECONDS`, its own time is returned.
    """
    torch.set_num_threads(threads)
    start = time.perf_counter()
    step()
    elapsed = time.perf_counter() - start
    if elapsed > TIMING_SECONDS:
        return elapsed
    start, steps = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < TIMING_SECONDS:
        step()
        steps += 1
    return elapsed / steps
