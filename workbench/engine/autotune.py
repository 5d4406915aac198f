"""How many CPU threads train fastest, and in which layout of pictures: timed once, then remembered."""

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

from workbench.config.training_settings import Train
from workbench.core import paths
from workbench.engine.batches import Batch
from workbench.engine.optimizer import make_optimizer, plain_step
from workbench.engine.task import Task
from workbench.io.atomic_files import read_json, write_json
from workbench.system.cpu import busy, usable_cores
from workbench.system.host import host

SECONDS = 0.1
"""What one candidate is timed for, after one step to warm up."""
GAIN = 0.8
"""More threads must take less than this part of the time of fewer: once others want the cores too, they lose more
than they ever won."""
WORSE = 1.5
"""Where more threads take so many times as long, even more are not tried."""
LONG = 1.0
"""Seconds of a step from which on the layout is not tried."""
LAYOUT_GAIN = 0.9
"""The same for pictures that are laid out pixel by pixel."""


@dataclass(frozen=True)
class Tuned:
    """What was found to be fastest: `channels_last` lays pictures out pixel by pixel."""

    threads: int
    channels_last: bool = False


def tuned(module: nn.Module, task: Task, train: Train, batch: Batch, model: str) -> Tuned:
    """What was found before for this host, model and batch shape, else what a short timing finds.

    A busy host has figures of its own: two threads that fight others for their cores can be many times slower than
    one. Real steps are timed on a copy of `module`; random states and the thread count are left as they were.
    """
    key = _key(model, module, batch)
    path = paths.home() / "threads.json"
    known = read_json(path) or {"v": 1}
    if (found := _known(known.get("tuned"), key)) is not None:
        return found
    chosen = _fastest(module, task, train, batch)
    known["tuned"] = {**(known.get("tuned") or {}), key: asdict(chosen)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, known)
    return chosen


def _known(entries: Any, key: str) -> Tuned | None:
    try:
        found = Tuned(**entries[key])
        return found if 1 <= found.threads <= usable_cores() else None
    except (KeyError, TypeError):
        return None


def _key(model: str, module: nn.Module, batch: Batch) -> str:
    """What the timing depends on, short and the same in every process."""
    shapes = [tuple(p.shape) for p in module.parameters()]
    described = f"{model} {shapes} {tuple(batch.inputs.shape)} {batch.inputs.dtype} {torch.__version__}"
    digest = hashlib.sha256(described.encode()).hexdigest()[:16]
    return f"{host()} {platform.machine()} {usable_cores()} {'busy' if busy() else 'quiet'} {digest}"


def _fastest(module: nn.Module, task: Task, train: Train, batch: Batch) -> Tuned:
    before = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            step = _step(module, task, train, batch)
            best, least = 1, math.inf
            for count in candidates(usable_cores()):
                spent = _time(step, count)
                if spent < GAIN * least:
                    best, least = count, spent
                elif spent > WORSE * least:
                    break
            # A step that takes long is not made four times more: that is no short timing.
            quick = least < LONG
            return Tuned(best, quick and _better_last(module, task, train, batch, best))
    finally:
        torch.set_num_threads(before)


def _better_last(module: nn.Module, task: Task, train: Train, batch: Batch, threads: int) -> bool:
    """Whether convolutions are quicker with pictures pixel by pixel: both are timed in turn."""
    if batch.inputs.ndim != 4 or not any(isinstance(part, nn.Conv2d) for part in module.modules()):
        return False
    last = Batch(batch.inputs.contiguous(memory_format=torch.channels_last), batch.targets, batch.soft)
    steps = (_step(module, task, train, batch), _step(module, task, train, last, torch.channels_last))
    plain, other = zip(*([_time(step, threads) for step in steps] for _ in range(2)), strict=True)
    return min(other) < LAYOUT_GAIN * min(plain)


def candidates(cores: int) -> list[int]:
    """1, 2, 4, … and all cores."""
    powers = [1 << k for k in range(cores.bit_length()) if 1 << k < cores]
    return [*powers, cores]


def _step(
    module: nn.Module,
    task: Task,
    train: Train,
    batch: Batch,
    layout: torch.memory_format = torch.preserve_format,
) -> Callable[[], None]:
    """A step of a copy of `module`."""
    trial = copy.deepcopy(module).train().to(memory_format=layout)
    update = plain_step(make_optimizer(trial, train, batch.inputs.device))
    parameters = list(trial.parameters())

    def step() -> None:
        loss = task.loss(trial(batch.inputs), batch.wanted)
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        update()

    return step


def _time(step: Callable[[], None], threads: int) -> float:
    """Seconds a step takes with so many threads: the mean, which shows a fight over cores with other programs.

    The first step warms up, and is the measure where it takes long enough to be one.
    """
    torch.set_num_threads(threads)
    start = time.perf_counter()
    step()
    spent = time.perf_counter() - start
    if spent > SECONDS:
        return spent
    start, steps = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < SECONDS:
        step()
        steps += 1
    return spent / steps
